#!lua flags=allow-oom
-- Gives a job back that failed in a way that may pass: it waits for its next attempt or, after the
-- last, has failed for good and is a dead letter. Guards by the fence, and the number of attempts.
--
-- input    { id, fence, error_code, result, object_key, delay_ms, attempts, kept_ms }
-- Returns  1 | 0 held no more
local job = read(input.id)
if not job or job.fence ~= input.fence then return 0 end
if job.place ~= 'leases' then return job.state == 'failed' and 1 or 0 end
if job.attempts < input.attempts then
  leave(job)
  save(job, { fence = job.fence + 1 })
  wait(job, now + input.delay_ms)
else
  keep(job, input)
  conclude(job, 'failed', job.units, { error = input.error_code })
  redis.call('ZADD', P .. 'dead', 0, job.id)
end
wake()
return 1
