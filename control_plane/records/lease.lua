-- Takes or renews a lease for a holder, or ends it. Guards that nobody renews or ends the lease of
-- another.
--
-- KEYS[1] the lease  ARGV 1 holder  2 length, ms; 0 to end it
-- Returns 1 if the holder has it, else 0

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
