#!lua flags=allow-oom
-- Ends a job because its tenant, or an operator, says so: at once, whoever works on it, since the
-- fence is raised. Guards whose job it is, and that an end stays as it is.
--
-- input    { id, tenant = '' for whosever, kept_ms }
-- Returns  fields of the job as it is then; none if there is none
local job = read(input.id)
if not job or (input.tenant ~= '' and input.tenant ~= job.tenant) then return {} end
if job.ended == 0 then
  fence_off(job)
  conclude(job, 'canceled', unused(job), {})
  wake()
end
return redis.call('HGETALL', P .. 'job:' .. job.id)
