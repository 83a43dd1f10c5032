#!lua flags=allow-oom
-- Removes every trace of jobs that were kept long enough. Guards that their time is over, so that
-- nothing is forgotten that somebody still may read. Idempotency keys lapse by themselves: a
-- request that comes again is not carried out again.
--
-- input    { ids }
-- Returns  how many
local count = 0
for _, id in ipairs(input.ids) do
  local due = tonumber(redis.call('ZSCORE', P .. 'kept', id))
  if due and due <= now then
    local job = read(id)
    redis.call('DEL', P .. 'job:' .. id, P .. 'spec:' .. id, P .. 'result:' .. id,
               P .. 'hook:' .. id)
    redis.call('ZREM', P .. 'of:' .. job.tenant, id)
    redis.call('ZREM', shelf(job), id)
    redis.call('ZREM', P .. 'kept', id)
    redis.call('ZREM', P .. 'dead', id)
    if redis.call('HINCRBY', P .. 'models:' .. job.tenant, job.model, -1) == 0 then
      redis.call('HDEL', P .. 'models:' .. job.tenant, job.model)
    end
    count = count + 1
  end
end
return count
