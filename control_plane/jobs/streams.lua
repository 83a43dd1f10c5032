-- Opens a stream of events, or keeps it open, if the tenant has few enough. Entries lapse, so that
-- those of a process that has died count no more. Guards the count against streams of other
-- processes that open at the same time.
--
-- KEYS[1]  sorted set: stream by the time at which it lapses, epoch milliseconds
-- ARGV     stream, streams that may be open, milliseconds until it lapses
-- Returns  1, or 0 if there are too many
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not known and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
