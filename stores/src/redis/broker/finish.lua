-- Keeps results, tells whoever waits for them, and only then forgets the messages that called for them.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags
-- ARGV[1]  how long results are kept, in seconds
-- ARGV[2]  how many results follow: of each its key, which is also the channel's name, and itself
-- ARGV[…]  the tags

local first_tag = 3 + 2 * tonumber(ARGV[2])

for at = 3, first_tag - 1, 2 do
  redis.call('SET', ARGV[at], ARGV[at + 1], 'EX', ARGV[1])
  redis.call('PUBLISH', ARGV[at], ARGV[at + 1])
end

for at = first_tag, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[at])
  redis.call('ZREM', KEYS[2], ARGV[at])
end
return redis.status_reply('OK')
