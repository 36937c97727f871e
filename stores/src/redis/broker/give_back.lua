-- Puts messages that were taken into lists again. One that is no longer booked was put back, or done
-- with, by somebody else: it is left alone, and so it is put back once.
--
-- KEYS[1]  the hash of messages that were taken
-- KEYS[2]  the sorted set of their tags, by when they were taken
-- ARGV[1]  only what was taken until then, in seconds; `+inf`: whatever is booked
-- ARGV[2]  which end of a list: RPUSH, to be taken next, or LPUSH, to wait behind all others
-- ARGV[3]  how long results are kept, in seconds
-- ARGV[4]… of each message its tag, how it is to lie there, or, where it is to lie there as it came, how
--          many bytes stand behind it in the hash (the other is empty), its result's key, or an empty one,
--          and its result, how many lists it goes into, and these
-- Answer   how many were put back

local UNTIL_S = ARGV[1] == '+inf' and math.huge or tonumber(ARGV[1])

local count, at = 0, 4
while at <= #ARGV do
  local tag, message, behind = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local key, result = ARGV[at + 3], ARGV[at + 4]
  local first_list = at + 6
  local last_list = at + 5 + tonumber(ARGV[at + 5])
  local taken_at = tonumber(redis.call('ZSCORE', KEYS[2], tag) or '0')
  if taken_at <= UNTIL_S and redis.call('HEXISTS', KEYS[1], tag) == 1 then
    if behind ~= '' then
      message = string.sub(redis.call('HGET', KEYS[1], tag), 2, -1 - tonumber(behind))
    end
    -- What is no list is an error while nothing is written yet.
    for list = first_list, last_list do
      redis.call('LLEN', ARGV[list])
    end
    for list = first_list, last_list do
      redis.call(ARGV[2], ARGV[list], message)
    end
    if key ~= '' then
      redis.call('SET', key, result, 'EX', ARGV[3])
    end
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
    if key ~= '' then
      redis.call('PUBLISH', key, result)
    end
    count = count + 1
  end
  at = last_list + 1
end
return count
