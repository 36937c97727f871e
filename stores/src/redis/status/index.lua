-- Puts a resource into its owner's list, where it is not yet, and as of its last report.
--
-- KEYS[1]  the list: names of resources, by when they were reported on last
-- ARGV     reported_ms, the name, ttl_ms, and how many are listed at most
-- Answer   nothing

local reported_ms, name, ttl_ms, listed_max = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
-- Reports arrive here in any order; the latest counts.
redis.call('ZADD', KEYS[1], 'GT', reported_ms, name)
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -listed_max - 1)
redis.call('PEXPIRE', KEYS[1], ttl_ms)
