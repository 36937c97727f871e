-- Keeps results, tells whoever waits for them, and only then forgets the messages that called for them.
-- One that is no longer booked is somebody else's by now, and so is its result.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags
-- ARGV[1]  how long results are kept, in seconds
-- ARGV[2]… of each message its tag, its result's key, which is also the channel's name, and its result;
--          the key is empty where there is none to be kept

for at = 2, #ARGV, 3 do
  local tag, key, result = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if redis.call('HEXISTS', KEYS[1], tag) == 1 then
    if key ~= '' then
      redis.call('SET', key, result, 'EX', ARGV[1])
      redis.call('PUBLISH', key, result)
    end
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
  end
end
return redis.status_reply('OK')
