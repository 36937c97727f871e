-- Counts requests in sliding windows: what kernel::limit::Tally does, where a whole fleet sees it.
--
-- KEYS[1] one subject: all its windows and all leases of its tokens, so one slot of a cluster.
-- ARGV[1] operation   c1: t(ake), r(efund), s(ettle) or p(eek)
--          now_ms      i64; -1: by this server's clock, the only one that a fleet shares
--          units       u32: how many requests
--          holder      8 bytes: whose lease it is
--          left        u32: how many tokens of it the holder still has
--          want        u32: how many more it would like; 0 for no lease
--          cap         u32: how many may be out on leases of this subject, over all holders
--          lease_ms    u32: how long a lease lasts
--          then, for each quota: requests u32, period in seconds u32
-- Answer   admitted u8, granted u32, then for each quota: remaining u32, retry_ms i64 (-1: never),
--          reset_ms i64
--
-- Both are bytes, big endian, as is the value: numbers one by one would take Redis longer than the
-- counting.
--
-- A window is a log rounded to ticks, sixty to its period; a tick's units leave together, once its
-- last instant is a whole period ago. See kernel/src/limit/ring.rs, with which this agrees to the unit.
--
-- The value: version u8, leases u8, per lease {holder 8 bytes, tokens u32, until_ms u48},
-- then per window {period_s u32, newest tick u48, used u32, counts u8, per count {tick mod 256 u8,
-- units u32}}, oldest count first.

local VERSION = 1
local TICKS = 60
local UNITS_MAX = 4294967295
local WINDOWS_MAX = 8
local HOLDERS_MAX = 16
-- A key outlives its windows to this, so that short ones do not come and go at every request.
local KEPT_MS_MIN = 60000

local HEAD_BYTES, COUNT_BYTES = 15, 5
-- For as many quotas as there may be.
local ANSWER = '>BI4I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8'
local pack, unpack_bytes, sub = struct.pack, struct.unpack, string.sub
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max

local operation, now_ms, units, holder, left, want, cap, lease_ms, quotas_at =
  unpack_bytes('>c1i8I4c8I4I4I4I4', ARGV[1])

if now_ms == -1 then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + floor(time[2] / 1000)
end

-- Tables are made with all their places: one that grows costs more than what is put into it.

-- A window whose counts lie in these bytes, and what of it still counts now. The clock never runs
-- backwards: what was let in at 12:05 has not left because it is 12:00.
local function window_of(per_s, newest, used, bytes, from, last)
  local tick = max(floor(now_ms * TICKS / (per_s * 1000)), newest)
  while from < last do
    local low, count = unpack_bytes('>BI4', bytes, from)
    if tick - newest + (newest - low) % 256 <= TICKS then break end
    used, from = used - count, from + COUNT_BYTES
  end
  return {
    per_s = per_s, newest = newest, used = used, tick = tick,
    bytes = bytes, from = from, last = last, asked = false, touched = false, written_at = false,
  }
end

-- The first millisecond at which the units of a tick no longer count.
local function leaves_ms(window, tick)
  return ceil((tick + TICKS + 1) * window.per_s * 1000 / TICKS)
end

-- Counts units more, now.
local function add(window, more)
  window.touched = true
  more = min(more, UNITS_MAX - window.used)
  if more == 0 then return end
  window.used = window.used + more
  local bytes, last = window.bytes, window.last
  if window.newest == window.tick and window.from < last then
    last = last - COUNT_BYTES
    local _, count = unpack_bytes('>BI4', bytes, last + 1)
    more = more + count
  end
  bytes = sub(bytes, window.from, last) .. pack('>BI4', window.tick % 256, more)
  window.bytes, window.from, window.last, window.newest = bytes, 1, #bytes, window.tick
end

-- Milliseconds until this many of the units have left; until all have, if there are fewer.
local function wait_ms(window, leaving)
  local from, low, count = window.from, nil, nil
  while leaving > 0 and from < window.last do
    low, count = unpack_bytes('>BI4', window.bytes, from)
    leaving, from = leaving - count, from + COUNT_BYTES
  end
  if not low then return 0 end
  -- Of a tick eight bits are written: no two that count are 256 ticks apart.
  return max(0, leaves_ms(window, window.newest - (window.newest - low) % 256) - now_ms)
end

-- What is known of the subject: leases that still run, and windows that still hold something.
local record = redis.call('GET', KEYS[1])
local leases, windows = {}, { nil, nil, nil, nil, nil, nil, nil, nil }
local held_by_others, mine = 0, nil
if record then
  local version, count, at = unpack_bytes('BB', record)
  if version ~= VERSION then
    return redis.error_reply('ERR the counter is of another version')
  end
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
  local bytes = #record
  while at <= bytes do
    local per_s, newest, used
    per_s, newest, used, count, at = unpack_bytes('>I4I6I4B', record, at)
    local next_at = at + count * COUNT_BYTES
    local window = window_of(per_s, newest, used, record, at, next_at - 1)
    window.written_at = at - HEAD_BYTES
    windows[#windows + 1] = window
    at = next_at
  end
end

-- A window is known by its period, whatever its quota is called.
local function find(among, per_s)
  for i = 1, #among do
    if among[i].per_s == per_s then return among[i] end
  end
end

-- The windows that are asked for, and how much room their quotas leave.
local quotas, room = (#ARGV[1] + 1 - quotas_at) / 8, UNITS_MAX
local asked = { nil, nil, nil, nil, nil, nil, nil, nil }
local limits = { nil, nil, nil, nil, nil, nil, nil, nil }
for i = 1, quotas do
  local limit, per_s = unpack_bytes('>I4I4', ARGV[1], quotas_at + 8 * (i - 1))
  local window = windows[i]
  if not window or window.per_s ~= per_s then
    window = find(windows, per_s) or find(asked, per_s) or window_of(per_s, 0, 0, '', 1, 0)
  end
  window.asked = true
  asked[i], limits[i] = window, limit
  room = min(room, max(0, limit - window.used))
end

-- Counts units in every window, new ones included.
local function count_everywhere(more)
  for i = #windows, 1, -1 do
    -- One that has run empty and is not asked for is as good as not there.
    if windows[i].used == 0 and not windows[i].asked then table.remove(windows, i) end
  end
  for i = 1, quotas do
    local window = asked[i]
    if not window.written_at and not window.touched then
      local place = #windows + 1
      if place > WINDOWS_MAX then
        -- That of the one which would run empty first, among those not asked for.
        local first_ms
        for k = 1, #windows do
          local empty_ms = leaves_ms(windows[k], windows[k].newest)
          if not windows[k].asked and (not first_ms or empty_ms < first_ms) then
            place, first_ms = k, empty_ms
          end
        end
      end
      windows[place], window.touched = window, true
    end
  end
  for i = 1, #windows do add(windows[i], more) end
end

local admitted, granted, changed = true, 0, false

if operation == 't' then
  -- A lease is taken out of the same room, ahead of use. A holder never has more than an equal share
  -- of what may be out at all, so that one that comes later finds some.
  if #leases < HOLDERS_MAX then
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
elseif operation == 's' then
  -- What was let in while nobody could be asked counts, whatever the limit.
  count_everywhere(units)
  changed = true
elseif operation == 'r' then
  -- Only what has certainly counted it forgets it. The holder's lease, if it names itself, is over.
  for i = 1, #windows do
    local window, fewer = windows[i], windows[i].asked and units or 0
    window.touched = window.asked
    -- Oldest first: what stays, stays longest, which errs towards refusing.
    while fewer > 0 and window.from < window.last do
      local low, count = unpack_bytes('>BI4', window.bytes, window.from)
      local gone = min(count, fewer)
      window.from = window.from + COUNT_BYTES
      if gone < count then
        local bytes = pack('>BI4', low, count - gone) .. sub(window.bytes, window.from, window.last)
        window.bytes, window.from, window.last = bytes, 1, #bytes
      end
      window.used, fewer = window.used - gone, fewer - gone
    end
  end
  changed = record and true or false
else
  admitted = units <= room
end

if changed then
  local parts, kept_ms = { pack('BB', VERSION, #leases), nil, nil, nil, nil, nil, nil, nil }, KEPT_MS_MIN
  for i = 1, #leases do
    local lease = leases[i]
    parts[#parts + 1] = pack('>c8I4I6', lease.who, lease.tokens, lease.until_ms)
    kept_ms = max(kept_ms, lease.until_ms - now_ms)
  end
  for i = 1, #windows do
    local window = windows[i]
    local per_s, newest, from, last = window.per_s, window.newest, window.from, window.last
    if not window.touched then
      -- As it was: what has left may count again where the clock goes back.
      parts[#parts + 1] = sub(record, window.written_at, last)
    elseif from < last then
      local count = (last - from + 1) / COUNT_BYTES
      parts[#parts + 1] = pack('>I4I6I4B', per_s, newest, window.used, count)
      parts[#parts + 1] = sub(window.bytes, from, last)
    end
    kept_ms = max(kept_ms, leaves_ms(window, newest) - now_ms)
  end
  if #parts > 1 then
    redis.call('SET', KEYS[1], table.concat(parts), 'PX', kept_ms)
  else
    redis.call('DEL', KEYS[1])
  end
end

-- How each window stands: for a call that was refused, when it would fit.
local missing = admitted and 0 or units
local answer = { admitted and 1 or 0, granted, nil, nil, nil, nil, nil, nil, nil, nil, nil }
for i = 1, quotas do
  local window, limit = asked[i], limits[i]
  local remaining = max(0, limit - window.used)
  local retry_ms = 0
  if missing > limit then
    retry_ms = -1
  elseif missing > remaining then
    retry_ms = wait_ms(window, window.used - (limit - missing))
  end
  answer[3 * i] = remaining
  answer[3 * i + 1] = retry_ms
  -- A limit lowered below the count shows growth only once the count is below it too.
  answer[3 * i + 2] = wait_ms(window, max(0, window.used - limit) + 1)
end
return pack(sub(ANSWER, 1, 4 + 6 * quotas), unpack(answer))
