-- Makes copies of a finished job, each under an id of its own, as the scripts of jobs would have
-- left it. For measurements only: nothing is guarded.
--
-- KEYS[1] prefix of the keys of jobs   ARGV[1] id of the finished job  2.. ids of the copies
local P = KEYS[1]
local fields = redis.call('HGETALL', P .. 'job:' .. ARGV[1])
local result = redis.call('GET', P .. 'result:' .. ARGV[1])
local job = {}
for i = 1, #fields, 2 do job[fields[i]] = fields[i + 1] end
local shelf = P .. 'of:' .. job.tenant .. ':' .. job.state .. ':' .. job.model
for place = 2, #ARGV do
  local id = ARGV[place]
  redis.call('HSET', P .. 'job:' .. id, unpack(fields))
  redis.call('SET', P .. 'result:' .. id, result, 'PXAT', job.kept)
  redis.call('ZADD', P .. 'of:' .. job.tenant, 0, id)
  redis.call('ZADD', shelf, 0, id)
  redis.call('ZADD', P .. 'kept', job.kept, id)
end
redis.call('HINCRBY', P .. 'models:' .. job.tenant, job.model, #ARGV - 1)
return #ARGV - 1
