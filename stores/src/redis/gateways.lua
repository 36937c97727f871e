-- Who is there: gateways that have said so within the last minute, by this server's clock.
--
-- KEYS[1]  the set of them
-- ARGV     announce | leave, and the gateway's name
-- Answer   how many there are

local KEPT_S = 60

local now_s = tonumber(redis.call('TIME')[1])
if ARGV[1] == 'announce' then
  redis.call('ZADD', KEYS[1], now_s, ARGV[2])
else
  redis.call('ZREM', KEYS[1], ARGV[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_s - KEPT_S - 1)
redis.call('EXPIRE', KEYS[1], KEPT_S)
return redis.call('ZCARD', KEYS[1])
