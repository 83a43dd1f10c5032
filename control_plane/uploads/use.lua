-- Notes that the object of an upload is there, or that an input names it. Guards that an upload is
-- completed once, with one pin for ever, and that none is used once its deletion has begun.
--
-- KEYS  1 record (hash)  2 when to delete (sorted set)
-- ARGV  1 id  2 pin  3 SHA-256, or empty: both of an object that was found, and empty to say that
--       one is used  4 milliseconds after which what nothing uses is deleted
-- Returns 'done', 'gone', or 'waiting' if one is used whose object is not there

local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'going' then
  return 'gone'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[2] == '' then
  if state ~= 'complete' then
    return 'waiting'
  end
  redis.call('HSET', KEYS[1], 'used_ms', now)
elseif state == 'waiting' then
  redis.call('HSET', KEYS[1], 'state', 'complete', 'pin', ARGV[2], 'completed_ms', now)
  redis.call('HDEL', KEYS[1], 'writer', 'writer_until')
  if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'sha256', ARGV[3])
  end
else
  return 'done'
end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[1])
return 'done'
