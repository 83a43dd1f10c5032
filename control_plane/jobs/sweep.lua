#!lua flags=allow-oom
-- Does what is due by the clock: jobs whose time is over expire, those of workers that gave no
-- sign wait again or, after the last attempt, have failed, and delays end. Guards by the times
-- themselves, so that any number of sweepers do each thing once.
--
-- input    { most, attempts, backoff_ms, longest_ms, kept_ms }
-- Returns  { expired, lost and waiting again, lost for good, delays over, { workers that lost } }
local function due(name)
  return redis.call('ZRANGEBYSCORE', P .. name, '-inf', now, 'LIMIT', 0, input.most)
end

local expired = due('expiries')
for _, id in ipairs(expired) do
  local job = read(id)
  fence_off(job)
  conclude(job, 'expired', unused(job), {})
end

local again, failed, workers = 0, 0, {}
for _, id in ipairs(due('leases')) do
  local job = read(id)
  workers[#workers + 1] = job.worker
  save(job, { fence = job.fence + 1, lost = job.lost + 1 })
  if job.attempts >= input.attempts then
    conclude(job, 'failed', job.units, { error = 'WORKER_LOST' })
    redis.call('ZADD', P .. 'dead', 0, id)
    failed = failed + 1
  else
    leave(job)
    wait(job, now + math.min(input.longest_ms, input.backoff_ms * 4 ^ (job.lost - 1)))
    again = again + 1
  end
end

local ripe = ripen(input.most)
wake()
return { #expired, again, failed, ripe, workers }
