-- Puts a message that nobody can make anything of into the list of those, as it came.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags
-- KEYS[3]  the list, the latest first
-- ARGV[1]  how many are kept
-- ARGV[2]  the message's tag
-- ARGV[3]  the message
-- Answer   1, or 0 where it is no longer booked

if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then
  return 0
end
redis.call('LPUSH', KEYS[3], ARGV[3])
redis.call('LTRIM', KEYS[3], 0, ARGV[1] - 1)
redis.call('HDEL', KEYS[1], ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
