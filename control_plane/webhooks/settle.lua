#!lua flags=allow-oom
-- Writes what came of an attempt. Guards that only who holds the delivery says so: a dispatcher
-- whose lease has passed to another is refused.
--
-- ARGV 2 id  3 fence  4 status: waiting, succeeded or failed  5 delay of one that waits, ms
--      6 1 if the receiver is slow  7 the attempt, JSON  8 how long an ended one is kept, ms
-- Returns 1, or 0 if the delivery is in other hands

local id, status, delay = ARGV[2], ARGV[4], tonumber(ARGV[5])
local key = P .. 'd:' .. id
local found = redis.call('HMGET', key, 'fence', 'status', 'tenant', 'receiver', 'again')
if found[1] ~= ARGV[3] or found[2] ~= 'sending' then
  return 0
end
local tenant, receiver = found[3], found[4]
release(id, tenant, receiver)
local lane = lane_of(tenant, receiver)
if ARGV[6] == '1' then
  redis.call('HSET', lane, 'slow', 1)
  redis.call('EXPIRE', lane, LANE_S)
else
  redis.call('HDEL', lane, 'slow')
end
note(id, ARGV[7])
if found[5] then
  redis.call('HDEL', key, 'again')
  if status ~= 'succeeded' then
    redis.call('HSET', key, 'number', 0)
    status, delay = 'waiting', 0
  end
end
if status == 'waiting' then
  wait(id, tenant, receiver, now + delay)
else
  redis.call('HSET', key, 'status', status, 'ended', whole(now), 'due', 0)
  redis.call('ZADD', P .. 'forget', whole(now + tonumber(ARGV[8])), id)
end
arrange(tenant, receiver)
return 1
