-- Adds to the counts of one hash, all of them or none, and puts off the hash's end.
--
-- KEYS[1]  hash
-- ARGV[1]  seconds after which it ends if nothing is added
-- ARGV[2]  most fields that it may have: further ones are left out
-- ARGV[3…] field, number, field, number, …
-- Returns  how many fields were left out
local fields = redis.call('HLEN', KEYS[1])
local most, left_out = tonumber(ARGV[2]), 0
for place = 3, #ARGV, 2 do
    local is_there = fields < most or redis.call('HEXISTS', KEYS[1], ARGV[place]) == 1
    if is_there then
        local now = redis.call('HINCRBY', KEYS[1], ARGV[place], ARGV[place + 1])
        if now == tonumber(ARGV[place + 1]) then
            fields = fields + 1
        end
    else
        left_out = left_out + 1
    end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return left_out
