-- Part of an owner's list, the last reported on first.
--
-- KEYS[1]  the list: names of resources, by when they were reported on last
-- ARGV     now_ms      -1: by this server's clock
--          ttl_ms      how long resources are kept
--          limit       how many are wanted
--          after_ms    after the one that was reported on then, or '' for the first ones
--          after_name  and is called so
-- Answer   {name, reported_ms, ...}

local BATCH = 100

local now_ms, ttl_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local after_ms, after_name = tonumber(ARGV[4]), ARGV[5]
if now_ms == -1 then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What is kept no more.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now_ms - ttl_ms))

-- By bytes, as Redis sorts: how Lua compares depends on where it runs.
local function is_less(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then return a:byte(i) < b:byte(i) end
  end
  return #a < #b
end

local from = after_ms and string.format('%.0f', after_ms) or '+inf'
local answer, offset = {}, 0
while true do
  local batch =
    redis.call('ZREVRANGEBYSCORE', KEYS[1], from, '-inf', 'WITHSCORES', 'LIMIT', offset, BATCH)
  for i = 1, #batch, 2 do
    local name, reported_ms = batch[i], tonumber(batch[i + 1])
    -- Of one moment, those after it are those whose names come before its name.
    if reported_ms ~= after_ms or is_less(name, after_name) then
      answer[#answer + 1] = name
      answer[#answer + 1] = string.format('%.0f', reported_ms)
      if #answer == 2 * limit then return answer end
    end
  end
  if #batch < 2 * BATCH then return answer end
  offset = offset + BATCH
end
