-- Puts, replaces or ends a block in one step: the word that limits.lua obeys and the details that
-- people read. Guards that a rule never undoes what an operator or another judge did meanwhile.
--
-- KEYS    1 state (hash)  2 blocks (hash)
-- ARGV    1 field of the state  2 "<level>;<until_us>", empty to unblock  3 field of the details
--         4 details: a mark, a space, JSON; empty for none
--         5 mark of the details that this was decided on; empty for none; "*" for any
--         6 epoch ms until which the details are worth keeping
-- Returns 1, or 0 if the details are others

local mark = string.match(redis.call('HGET', KEYS[2], ARGV[3]) or '', '^%S*')
if ARGV[5] ~= '*' and mark ~= ARGV[5] then
  return 0
end
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[3])
else
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
for _, key in ipairs(KEYS) do
  local till = redis.call('PEXPIRETIME', key)
  -- The state of a tenant lasts; that of an address would otherwise, too, if it calls no more.
  local fresh = redis.call('HLEN', key) == 1 and (key == KEYS[2] or string.find(key, '{a:', 1, true))
  if ARGV[6] ~= '0' and (fresh or till >= 0 and till < tonumber(ARGV[6])) then
    redis.call('PEXPIREAT', key, ARGV[6])
  end
end
return 1
