-- Keeps results where no messages are, and tells whoever waits for them.
--
-- KEYS[1]  the key of the first
-- ARGV[1]  how long they are kept, in seconds
-- ARGV[2]… of each its key, which is also the channel's name, and itself

for at = 2, #ARGV, 2 do
  redis.call('SET', ARGV[at], ARGV[at + 1], 'EX', ARGV[1])
  redis.call('PUBLISH', ARGV[at], ARGV[at + 1])
end
return redis.status_reply('OK')
