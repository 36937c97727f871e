-- Takes resources out of an owner's list under whose names nothing of theirs was found, each only if it
-- was not reported on since.
--
-- KEYS[1]  the list: names of resources, by when they were reported on last
-- ARGV     name, reported_ms as it was when it was looked, ...
-- Answer   nothing

for i = 1, #ARGV, 2 do
  local reported_ms = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if reported_ms and tonumber(reported_ms) == tonumber(ARGV[i + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
