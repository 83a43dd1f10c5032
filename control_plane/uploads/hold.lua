-- Takes, renews or gives up the right to write an object. Guards that one request at a time writes
-- the object of an upload, so that one signed address never fills the disk many times over.
--
-- KEYS  1 record (hash)
-- ARGV  1 who writes  2 milliseconds that the right lasts if it is not renewed; 0 gives it up
-- Returns 'held', or why not: 'gone', 'taken'

local found = redis.call('HMGET', KEYS[1], 'state', 'writer', 'writer_until')
if not found[1] or found[1] == 'going' then
  return 'gone'
end
if ARGV[2] == '0' then
  if found[2] == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'writer', 'writer_until')
  end
  return 'held'
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if found[1] ~= 'waiting' then
  return 'taken'
end
if found[2] and found[2] ~= ARGV[1] and tonumber(found[3]) > now then
  return 'taken'
end
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'writer_until', now + tonumber(ARGV[2]))
return 'held'
