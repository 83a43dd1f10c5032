-- Goes on with, or ends, what one holder has begun. Guards what another holds after the first
-- one's hold has lapsed.
--
-- KEYS[1]  see begin.lua
-- ARGV     digest, holder, milliseconds, and of an end the sealed answer; 0 milliseconds free it
-- Returns  1, or 0 if another holds the key
if redis.call('GET', KEYS[1]) ~= 'run ' .. ARGV[1] .. ' ' .. ARGV[2] then return 0 end
if ARGV[3] == '0' then
  redis.call('DEL', KEYS[1])
elseif ARGV[4] then
  redis.call('SET', KEYS[1], 'end ' .. ARGV[1] .. ' ' .. ARGV[4], 'PX', ARGV[3])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
