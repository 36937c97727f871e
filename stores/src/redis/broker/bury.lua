-- Puts a message that nobody can make anything of into the list of those, as it came; what is none of
-- ours, as it stands in the hash.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags
-- KEYS[3]  the list, the latest first
-- ARGV[1]  how many are kept
-- ARGV[2]  the message's tag
-- ARGV[3]… what stands behind a message of ours in the hash, by queue
-- Answer   1, or 0 where it is no longer booked

local booked = redis.call('HGET', KEYS[1], ARGV[2])
if not booked then
  return 0
end
local _, message = inside(booked, 3, #ARGV)
redis.call('LPUSH', KEYS[3], message or booked)
redis.call('LTRIM', KEYS[3], 0, ARGV[1] - 1)
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
