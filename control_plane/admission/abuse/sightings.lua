-- Adds what one process saw of a client to the client's counters of that minute. Guards that
-- several processes do not overwrite each other's counts, which stand together in one field.
--
-- KEYS    1 counters of the hour (hash)  2 requests by the hour (hash); none of anonymous clients
-- ARGV    1 minute of the hour  2 counts, comma separated  3 hour since 1970  4 requests

local KEEP_S = 3 * 3600
local BRIEF_S = 600            -- of addresses seen in two minutes at most: there are many
local HISTORY_HOURS = 192

local sums, place = {}, 0
for number in string.gmatch(ARGV[2], '%d+') do sums[#sums + 1] = tonumber(number) end
for number in string.gmatch(redis.call('HGET', KEYS[1], ARGV[1]) or '', '%d+') do
  place = place + 1
  sums[place] = sums[place] + tonumber(number)
end
for index, number in ipairs(sums) do sums[index] = string.format('%.0f', number) end
redis.call('HSET', KEYS[1], ARGV[1], table.concat(sums, ','))
local lasting = KEYS[2] or redis.call('HLEN', KEYS[1]) > 2
redis.call('EXPIRE', KEYS[1], lasting and KEEP_S or BRIEF_S)

if KEYS[2] then
  redis.call('HINCRBY', KEYS[2], ARGV[3], ARGV[4])
  if redis.call('HLEN', KEYS[2]) > HISTORY_HOURS then
    for _, hour in ipairs(redis.call('HKEYS', KEYS[2])) do
      if tonumber(hour) <= tonumber(ARGV[3]) - HISTORY_HOURS then
        redis.call('HDEL', KEYS[2], hour)
      end
    end
  end
  redis.call('EXPIRE', KEYS[2], HISTORY_HOURS * 3600)
end
return 1
