-- Makes an upload. Guards that a tenant never has more of them at once than it may, however many
-- requests come at once, and that each has its place in the list by which it is deleted one day.
--
-- KEYS  1 record (hash)  2 uploads of the tenant (sorted set)  3 when to delete (sorted set)
-- ARGV  1 id  2 tenant  3 media type  4 size, bytes  5 SHA-256, or empty  6 sealed file name
--       7 milliseconds that the signed address is good for  8 milliseconds after which what is
--       not there is given up, from then on  9 uploads at most
-- Returns the milliseconds of now, or 0 if there are too many

if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[9]) then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires = now + tonumber(ARGV[7])
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'tenant', ARGV[2], 'media_type', ARGV[3],
  'size', ARGV[4], 'sha256', ARGV[5], 'filename', ARGV[6], 'state', 'waiting',
  'created_ms', now, 'expires_ms', expires)
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('ZADD', KEYS[3], expires + tonumber(ARGV[8]), ARGV[1])
return now
