-- Deletes an upload in two steps, between which its object is deleted. Guards that nothing begins
-- to use an object that is being deleted, that one which was used meanwhile is kept, and that what
-- was begun is found again, a minute later: its record goes last, and one whose object cannot be
-- deleted does not keep others waiting.
--
-- KEYS  1 record (hash)  2 uploads of the tenant (sorted set)  3 when to delete (sorted set)
-- ARGV  1 id  2 'begin' at somebody's wish, 'due' if its time has come, or 'end'
-- Returns 1 if it is so, 0 if there is no such upload, or its time has not come

if ARGV[2] == 'end' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return redis.call('DEL', KEYS[1])
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZSCORE', KEYS[3], ARGV[1])
if ARGV[2] == 'due' and (not due or tonumber(due) > now) then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'going')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], now + 60000, ARGV[1])
return 1
