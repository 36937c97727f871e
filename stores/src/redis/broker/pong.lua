-- Answers whoever asked; what nobody reads goes.
--
-- KEYS[1]  the list of answers
-- ARGV[1]  the answer
-- ARGV[2]  after how many seconds without another one the list goes

redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.status_reply('OK')
