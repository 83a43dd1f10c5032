-- Gives units back that were paid for a job. Guards that a job is refunded once, however often it
-- is told, and that what is given back belongs to the day and the month that paid.
--
-- KEYS  1 state (hash; see limits.lua)  2 usage of the day that paid (hash)  3 mark of the job
-- ARGV  hour that paid, YYYYMMDDHH; "<client>|<model>|<version>"; units; seconds that the mark stays
-- Returns 1, or 0 if it was refunded before
local hour, field, units = ARGV[1], ARGV[2], tonumber(ARGV[3])
if not redis.call('SET', KEYS[3], units, 'NX', 'EX', ARGV[4]) then return 0 end

local function whole(number) return string.format('%.0f', number) end

local state = redis.call('HMGET', KEYS[1], 'day', 'du', 'month', 'mu')
local day, du = state[1], tonumber(state[2]) or 0
local month, mu = state[3], tonumber(state[4]) or 0
local of_day, of_month = string.sub(hour, 1, 8), string.sub(hour, 1, 6)

-- Never below zero: after a crash of this server the last second of payments may be missing.
if day == of_day then redis.call('HSET', KEYS[1], 'du', whole(math.max(0, du - units))) end
if month == of_month then
  redis.call('HSET', KEYS[1], 'mu', whole(math.max(0, mu - units)))
elseif month then
  local past = tonumber(redis.call('HGET', KEYS[1], 'm:' .. of_month)) or 0
  if past > 0 then redis.call('HSET', KEYS[1], 'm:' .. of_month, whole(math.max(0, past - units))) end
end
-- The payment itself may be counted a moment later: then this is below zero until it is.
redis.call('HINCRBY', KEYS[2], string.sub(hour, 9, 10) .. '|' .. field .. '|u', whole(-units))
return 1
