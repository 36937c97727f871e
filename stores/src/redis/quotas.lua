-- Counts requests in sliding windows: what kernel::limit::Tally does, where a whole fleet sees it.
--
-- KEYS[1]  one subject: all its windows and all leases of its tokens, so one slot of a cluster.
-- ARGV     operation   take | refund | settle | peek
--          now_ms      -1: by this server's clock, the only one that a fleet shares
--          units       how many requests
--          holder      who asks for a lease (8 bytes), or '' for none
--          left        how many tokens of its lease the holder still has
--          want        how many more it would like
--          cap         how many may be out on leases of this subject, over all holders
--          lease_ms    how long a lease lasts
--          then, for each quota: requests, period in seconds
-- Answer   {admitted, granted, then for each quota: remaining, retry_ms (-1: never), reset_ms}
--
-- A window is a log rounded to ticks, sixty to its period; a tick's units leave together, once its
-- last instant is a whole period ago. See kernel/src/limit/ring.rs, with which this agrees to the unit.
--
-- The value, big endian: version u8, leases u8, per lease {holder 8 bytes, tokens u32, until_ms u48},
-- then per window {period_s u32, newest tick u48, used u32, counts u8, per count {tick mod 256 u8,
-- units u32}}, oldest count first.

local VERSION = 1
local TICKS = 60
local UNITS_MAX = 4294967295
local WINDOWS_MAX = 8
local HOLDERS_MAX = 16
-- A key outlives its windows to this, so that short ones do not come and go at every request.
local KEPT_MS_MIN = 60000

local COUNT_BYTES = 5
local pack, unpack_bytes, sub = struct.pack, struct.unpack, string.sub
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max

local operation, now_ms, units = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local holder, left, want = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local cap, lease_ms = tonumber(ARGV[7]), tonumber(ARGV[8])

if now_ms == -1 then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + floor(time[2] / 1000)
end

-- The tick of a count, of which eight bits are written: no two that count are 256 ticks apart.
local function tick_of(window, low)
  return window.newest - (window.newest - low) % 256
end

-- The first millisecond at which the units of a tick no longer count.
local function leaves_ms(window, tick)
  return ceil((tick + TICKS + 1) * window.per_s * 1000 / TICKS)
end

-- Finds what still counts now. The clock never runs backwards: what was let in at 12:05 has not left
-- because it is 12:00.
local function read(window)
  window.tick = max(floor(now_ms * TICKS / (window.per_s * 1000)), window.newest)
  window.used = window.total
  local counts, from = window.counts, 1
  while from < #counts do
    local low, count = unpack_bytes('>BI4', counts, from)
    if window.tick - tick_of(window, low) <= TICKS then break end
    window.used = window.used - count
    from = from + COUNT_BYTES
  end
  window.live = from
  return window
end

-- Forgets what has left; only where something is written anyway.
local function forget(window)
  if window.live > 1 then window.counts = sub(window.counts, window.live) end
  window.total, window.live = window.used, 1
end

-- Counts units more, now.
local function add(window, more)
  forget(window)
  more = min(more, UNITS_MAX - window.used)
  if more == 0 then return end
  local counts, low = window.counts, window.tick % 256
  local last = #counts - COUNT_BYTES
  if last >= 0 and window.newest == window.tick then
    local _, count = unpack_bytes('>BI4', counts, last + 1)
    window.counts = sub(counts, 1, last) .. pack('>BI4', low, count + more)
  else
    window.counts = counts .. pack('>BI4', low, more)
  end
  window.newest = window.tick
  window.used = window.used + more
  window.total = window.used
end

-- Forgets units, oldest first: what stays, stays longest, which errs towards refusing.
local function remove(window, fewer)
  forget(window)
  while fewer > 0 and #window.counts > 0 do
    local low, count = unpack_bytes('>BI4', window.counts)
    local gone = min(count, fewer)
    local rest = sub(window.counts, COUNT_BYTES + 1)
    if gone < count then rest = pack('>BI4', low, count - gone) .. rest end
    window.counts = rest
    window.used = window.used - gone
    fewer = fewer - gone
  end
  window.total = window.used
end

-- Milliseconds until this many of the units have left; until all have, if there are fewer.
local function wait_ms(window, leaving)
  local from, last = window.live, nil
  while leaving > 0 and from < #window.counts do
    local low, count = unpack_bytes('>BI4', window.counts, from)
    leaving = leaving - count
    last = tick_of(window, low)
    from = from + COUNT_BYTES
  end
  if not last then return 0 end
  return max(0, leaves_ms(window, last) - now_ms)
end

-- What is known of the subject: leases that still run, and windows that still hold something.
local record = redis.call('GET', KEYS[1])
local leases, windows, by_period = {}, {}, {}
local held_by_others, mine = 0, nil
if record then
  local at, version, count = 1, unpack_bytes('BB', record)
  if version ~= VERSION then
    return redis.error_reply('ERR the counter is of another version')
  end
  at = 3
  for _ = 1, count do
    local who, tokens, until_ms
    who, tokens, until_ms, at = unpack_bytes('>c8I4I6', record, at)
    if until_ms > now_ms then
      local lease = { who = who, tokens = tokens, until_ms = until_ms }
      if who == holder then
        mine = lease
      else
        leases[#leases + 1] = lease
        held_by_others = held_by_others + tokens
      end
    end
  end
  while at <= #record do
    local window = {}
    window.per_s, window.newest, window.total, count, at = unpack_bytes('>I4I6I4B', record, at)
    window.counts = sub(record, at, at + count * COUNT_BYTES - 1)
    at = at + count * COUNT_BYTES
    windows[#windows + 1] = read(window)
    by_period[window.per_s] = window
  end
end

-- How much room the quotas leave. A window is known by its period, whatever its quota is called.
local quotas, asked, room = {}, {}, UNITS_MAX
for at = 9, #ARGV, 2 do
  local quota = { requests = tonumber(ARGV[at]), per_s = tonumber(ARGV[at + 1]) }
  local window = by_period[quota.per_s]
  room = min(room, max(0, quota.requests - (window and window.used or 0)))
  quotas[#quotas + 1] = quota
  asked[quota.per_s] = true
end

-- Counts units in every window, new ones included. At the bound a new one takes the place of the one
-- that would run empty first, among those not asked about.
local function count_everywhere(more)
  -- A window that has run empty and is not asked for is as good as not there.
  local busy = {}
  for _, window in ipairs(windows) do
    if window.used > 0 or asked[window.per_s] then busy[#busy + 1] = window end
  end
  windows = busy
  for _, quota in ipairs(quotas) do
    if not by_period[quota.per_s] then
      local place = #windows + 1
      if place > WINDOWS_MAX then
        local first_ms
        for i, window in ipairs(windows) do
          local empty_ms = leaves_ms(window, window.newest)
          if not asked[window.per_s] and (not first_ms or empty_ms < first_ms) then
            place, first_ms = i, empty_ms
          end
        end
        by_period[windows[place].per_s] = nil
      end
      windows[place] = read({ per_s = quota.per_s, newest = 0, total = 0, counts = '' })
      by_period[quota.per_s] = windows[place]
    end
  end
  for _, window in ipairs(windows) do add(window, more) end
end

local admitted, granted, changed = true, 0, false

if operation == 'take' then
  -- A lease is taken out of the same room, ahead of use. A holder never has more than an equal share
  -- of what may be out at all, so that one that comes later finds some.
  if holder ~= '' and #leases < HOLDERS_MAX then
    local share = floor(cap / (#leases + 1)) - left
    granted = max(0, min(want, room, cap - held_by_others - left, share))
  end
  -- The call is paid out of its lease; where that is too small, directly.
  local taken = granted
  if granted < units then
    admitted, granted = units <= room, 0
    taken = admitted and units or 0
  end
  if taken > 0 then
    count_everywhere(taken)
    changed = true
  end
  -- What the holder has is noted anew: it knows best what it has spent.
  local until_ms = granted > 0 and now_ms + lease_ms or (mine and mine.until_ms or 0)
  if left + granted > 0 and until_ms > now_ms then
    leases[#leases + 1] = { who = holder, tokens = left + granted, until_ms = until_ms }
    changed = true
  elseif mine then
    changed = true
  end
elseif operation == 'settle' then
  -- What was let in while nobody could be asked counts, whatever the limit.
  count_everywhere(units)
  changed = true
elseif operation == 'refund' then
  -- Only what has certainly counted it forgets it. The holder's lease, if it names itself, is over.
  for _, window in ipairs(windows) do
    if asked[window.per_s] then remove(window, units) end
  end
  changed = record and true or false
else
  admitted = units <= room
end

if changed then
  local parts, kept_ms, kept = {}, KEPT_MS_MIN, #leases
  for _, lease in ipairs(leases) do
    parts[#parts + 1] = pack('>c8I4I6', lease.who, lease.tokens, lease.until_ms)
    kept_ms = max(kept_ms, lease.until_ms - now_ms)
  end
  for _, window in ipairs(windows) do
    local counts = window.counts
    if #counts > 0 then
      local header = pack('>I4I6I4B', window.per_s, window.newest, window.total, #counts / COUNT_BYTES)
      parts[#parts + 1] = header .. counts
      kept_ms = max(kept_ms, leaves_ms(window, window.newest) - now_ms)
      kept = kept + 1
    end
  end
  if kept > 0 then
    local value = pack('BB', VERSION, #leases) .. table.concat(parts)
    redis.call('SET', KEYS[1], value, 'PX', kept_ms)
  else
    redis.call('DEL', KEYS[1])
  end
end

-- How each window stands: for a call that was refused, when it would fit.
local missing = admitted and 0 or units
local answer = { admitted and 1 or 0, granted }
for _, quota in ipairs(quotas) do
  local window, limit = by_period[quota.per_s], quota.requests
  local used = window and window.used or 0
  local remaining = max(0, limit - used)
  local retry_ms, reset_ms = 0, 0
  if missing > limit then
    retry_ms = -1
  elseif missing > remaining then
    retry_ms = wait_ms(window, used - (limit - missing))
  end
  -- A limit lowered below the count shows growth only once the count is below it too.
  if window then reset_ms = wait_ms(window, max(0, used - limit) + 1) end
  answer[#answer + 1] = remaining
  answer[#answer + 1] = retry_ms
  answer[#answer + 1] = reset_ms
end
return answer
