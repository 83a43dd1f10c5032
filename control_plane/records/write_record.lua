-- One change of the system of record. Guards that what the change was decided on still holds;
-- then records, indexes and audit entries are written and everyone is told: all of it or nothing.
--
-- KEYS     every key that the change reads or writes
-- ARGV[1]  JSON: checks   [[[command, key, argument...], expected]...]
--                writes   [[command, key, argument...]...]
--                audit    key of the stream
--                entries  [[field, value, ...]...]
--                channel  where the news go
--                news     [message...]
--          a key stands as its place in KEYS
-- Returns  {0, 0}, or {place of the first check that failed, what was found instead}
local plan = cjson.decode(ARGV[1])

local function run(command)
    local words = { unpack(command, 3) }
    return redis.call(command[1], KEYS[command[2]], unpack(words))
end

-- The revision of a record; 0 if there is none.
local function revision(key)
    local text = redis.call('GET', key)
    return text and cjson.decode(text).revision or 0
end

for place, check in ipairs(plan.checks) do
    local command, expected = check[1], check[2]
    local found = command[1] == 'revision' and revision(KEYS[command[2]]) or run(command)
    if found ~= expected then
        return { place, found }
    end
end
for _, command in ipairs(plan.writes) do
    run(command)
end
for _, entry in ipairs(plan.entries) do
    redis.call('XADD', KEYS[plan.audit], '*', unpack(entry))
end
for _, message in ipairs(plan.news) do
    redis.call('PUBLISH', plan.channel, message)
end
return { 0, 0 }
