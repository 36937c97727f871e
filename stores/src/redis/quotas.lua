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
--          then, for each quota: requests u32, period in seconds u32; to settle, not how many may be
--          asked but how many this window is to count, the most of which are the units
-- Answer   admitted u8, granted u32, then for each quota: remaining u32, retry_ms i64 (-1: never),
--          reset_ms i64
--
-- Both are bytes, big endian, as is the value: numbers one by one would take Redis longer than the
-- counting.
--
-- A window is a log rounded to ticks, sixty to its period; a tick's units leave together, once its
-- last instant is a whole period ago. See kernel/src/limit/ring.rs, with which this agrees to the unit.
--
-- The value: version u8, leases u8, kept until u48 (ms), per lease {holder 8 bytes, tokens u32,
-- until_ms u48}, then per window {period_s u32, used u32, newest tick u48, its units u32, bytes u16 of
-- what is older, per older count {tick mod 256 u8, units u32}}, oldest count first.

local VERSION = 2
local TICKS = 60
local UNITS_MAX = 4294967295
local WINDOWS_MAX = 8
local HOLDERS_MAX = 16
-- A key outlives its windows to this, so that short ones do not come and go at every request; and it is
-- kept this much longer than it must, so that not every request has to say so again.
local KEPT_MS_MIN = 60000

local WINDOW, WINDOW_BYTES = '>I4I4I6I4I2c0', 20
local COUNT, COUNT_BYTES = '>BI4', 5
-- For as many as there may be.
local ANSWER = '>BI4I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8I4i8i8'
local QUOTAS = '>I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4'
local pack, unpack_bytes, sub = struct.pack, struct.unpack, string.sub
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max

-- What a window is known by, and what of it counts now: an array, which takes Redis half as long to make
-- as a table of named fields. Its newest count is two numbers, those before it are bytes; they begin where
-- those begin that have not left. `OLDEST` is the oldest tick that counts; false: to be looked for. `DUE` is
-- what is to be settled in it, where that is said.
local PER_S, TICK, USED, NEWEST, UNITS, OLDEST, OLDER, BEGIN, AT, ASKED, TOUCHED, DUE =
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

local operation, now_ms, units, holder, left, want, cap, lease_ms, quotas_at =
  unpack_bytes('>c1i8I4c8I4I4I4I4', ARGV[1])

if now_ms == -1 then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + floor(time[2] / 1000)
end

-- What is known of the subject: leases that still run, and windows that still hold something.
local record = redis.call('GET', KEYS[1])
local leases, windows = {}, { nil, nil, nil, nil, nil, nil, nil, nil }
local kept_until_ms, held_by_others, mine = 0, 0, nil
local version, count, at
if record then
  version, count, kept_until_ms, at = unpack_bytes('>BBI6', record)
  if version > VERSION then
    return redis.error_reply('ERR the counter is of a newer version')
  elseif version < VERSION then
    -- Nobody can say any more what it means: it begins anew.
    record, kept_until_ms = nil, 0
  end
end
if record then
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
    local per_s, used, newest, last, older, next_at = unpack_bytes(WINDOW, record, at)
    local tick, oldest, begin = floor(now_ms * TICKS / (per_s * 1000)), newest, 1
    -- The clock never runs backwards: what was let in at 12:05 has not left because it is 12:00.
    if tick < newest then tick = newest end
    if tick - newest > TICKS then
      used, last, begin = 0, 0, #older + 1
    else
      while begin < #older do
        local low, count = unpack_bytes(COUNT, older, begin)
        -- Of a tick eight bits are written: no two that count are 256 ticks apart.
        local age = (newest - low) % 256
        if tick - newest + age <= TICKS then
          oldest = newest - age
          break
        end
        used, begin = used - count, begin + COUNT_BYTES
      end
    end
    windows[#windows + 1] = { per_s, tick, used, newest, last, oldest, older, begin, at, false, false }
    at = next_at
  end
end

-- The windows that are asked for, and how much room their quotas leave. One is known by its period,
-- whatever its quota is called.
local quotas, room = (#ARGV[1] + 1 - quotas_at) / 8, UNITS_MAX
local numbers = { unpack_bytes(sub(QUOTAS, 1, 1 + 4 * quotas), ARGV[1], quotas_at) }
local asked = { nil, nil, nil, nil, nil, nil, nil, nil }
for i = 1, quotas do
  local limit, per_s = numbers[2 * i - 1], numbers[2 * i]
  local window = windows[i]
  if not window or window[PER_S] ~= per_s then
    window = nil
    for k = 1, #windows do
      if windows[k][PER_S] == per_s then window = windows[k] end
    end
    if not window then
      local tick = floor(now_ms * TICKS / (per_s * 1000))
      window = { per_s, tick, 0, tick, 0, tick, '', 1, false, true, false }
      windows[#windows + 1] = window
    end
  end
  window[ASKED], asked[i] = true, window
  if operation == 's' then window[DUE] = max(window[DUE] or 0, limit) end
  local free = limit - window[USED]
  if free < room then room = free end
end
if room < 0 then room = 0 end

-- The first millisecond at which the units of a window's tick no longer count.
local function leaves_ms(per_s, tick)
  return ceil((tick + TICKS + 1) * per_s * 1000 / TICKS)
end

local admitted, granted, changed = true, 0, false
-- Units to count in every window; nil for none.
local more

if operation == 't' then
  -- A lease is taken out of the same room, ahead of use. A holder never has more than an equal share
  -- of what may be out at all, so that one that comes later finds some.
  if want > 0 and #leases < HOLDERS_MAX then
    local share = floor(cap / (#leases + 1)) - left
    granted = max(0, min(want, room, cap - held_by_others - left, share))
  end
  -- The call is paid out of its lease; where that is too small, directly.
  more = granted
  if granted < units then
    admitted, granted = units <= room, 0
    more = admitted and units or 0
  end
  changed = more > 0
  if not changed then more = nil end
  -- What the holder has is noted anew: it knows best what it has spent.
  local until_ms = granted > 0 and now_ms + lease_ms or (mine and mine.until_ms or 0)
  if left + granted > 0 and until_ms > now_ms then
    leases[#leases + 1] = { who = holder, tokens = left + granted, until_ms = until_ms }
    changed = true
  elseif mine then
    changed = true
  end
elseif operation == 's' then
  -- What was let in while nobody could be asked counts, whatever the limit; in a window that nobody asks
  -- for, all of it.
  more, changed = units, true
elseif operation == 'r' then
  -- Only what has certainly counted it forgets it. The holder's lease, if it names itself, is over.
  for i = 1, #windows do
    local window, fewer = windows[i], units
    if window[ASKED] then
      window[TOUCHED], window[OLDEST] = true, false
      -- Oldest first: what stays, stays longest, which errs towards refusing.
      while fewer > 0 and window[BEGIN] < #window[OLDER] do
        local low, count = unpack_bytes(COUNT, window[OLDER], window[BEGIN])
        local gone = min(count, fewer)
        window[BEGIN] = window[BEGIN] + COUNT_BYTES
        if gone < count then
          local rest = sub(window[OLDER], window[BEGIN])
          window[OLDER], window[BEGIN] = pack('>BI4c0', low, count - gone, rest), 1
        end
        window[USED], fewer = window[USED] - gone, fewer - gone
      end
      local gone = min(window[UNITS], fewer)
      window[UNITS], window[USED] = window[UNITS] - gone, window[USED] - gone
    end
  end
  changed = record and true or false
else
  admitted = units <= room
end

if more then
  for i = #windows, 1, -1 do
    -- One that has run empty and is not asked for is as good as not there.
    if windows[i][USED] == 0 and not windows[i][ASKED] then table.remove(windows, i) end
  end
  while #windows > WINDOWS_MAX do
    -- That of the one which would run empty first goes, among those not asked for.
    local first, first_ms
    for i = 1, #windows do
      local empty_ms = leaves_ms(windows[i][PER_S], windows[i][NEWEST])
      if not windows[i][ASKED] and (not first or empty_ms < first_ms) then
        first, first_ms = i, empty_ms
      end
    end
    table.remove(windows, first)
  end
  for i = 1, #windows do
    local window = windows[i]
    local tick, used, last = window[TICK], window[USED], window[UNITS]
    local counted = window[DUE] or more
    if counted > UNITS_MAX - used then counted = UNITS_MAX - used end
    window[TOUCHED] = true
    if counted > 0 then
      if last == 0 then
        window[OLDEST] = tick
      elseif window[NEWEST] < tick then
        local older = sub(window[OLDER], window[BEGIN])
        window[OLDER], window[BEGIN] = pack('>c0BI4', older, window[NEWEST] % 256, last), 1
        last = 0
      end
      window[USED], window[NEWEST], window[UNITS] = used + counted, tick, last + counted
    end
  end
end

if changed then
  local value, until_ms = '', now_ms + KEPT_MS_MIN
  for i = 1, #leases do
    local lease = leases[i]
    value = pack('>c0c8I4I6', value, lease.who, lease.tokens, lease.until_ms)
    if until_ms < lease.until_ms then until_ms = lease.until_ms end
  end
  for i = 1, #windows do
    local window = windows[i]
    local per_s, newest, older = window[PER_S], window[NEWEST], window[OLDER]
    if window[TOUCHED] then
      if window[UNITS] > 0 then
        if window[BEGIN] > 1 then older = sub(older, window[BEGIN]) end
        value = value .. pack('>I4I4I6I4I2c0', per_s, window[USED], newest, window[UNITS], #older, older)
      end
    elseif window[AT] then
      -- As it was: what has left may count again where the clock goes back.
      value = value .. sub(record, window[AT], window[AT] + WINDOW_BYTES + #older - 1)
    end
    local empty_ms = (newest + TICKS + 1) * per_s * 1000 / TICKS
    if until_ms < empty_ms then until_ms = empty_ms end
  end
  if value == '' then
    redis.call('DEL', KEYS[1])
  elseif until_ms <= kept_until_ms then
    redis.call('SET', KEYS[1], pack('>BBI6c0', VERSION, #leases, kept_until_ms, value), 'KEEPTTL')
  else
    until_ms = ceil(until_ms) + KEPT_MS_MIN
    value = pack('>BBI6c0', VERSION, #leases, until_ms, value)
    redis.call('SET', KEYS[1], value, 'PX', until_ms - now_ms)
  end
end

-- Milliseconds until this many of a window's units have left; until all have, if there are fewer.
local function wait_ms(window, leaving)
  local older, at, newest, tick = window[OLDER], window[BEGIN], window[NEWEST], nil
  while leaving > 0 and at < #older do
    local low, count = unpack_bytes(COUNT, older, at)
    leaving, at = leaving - count, at + COUNT_BYTES
    tick = newest - (newest - low) % 256
  end
  if leaving > 0 and window[UNITS] > 0 then tick = newest end
  return tick and leaves_ms(window[PER_S], tick) - now_ms or 0
end

-- How each window stands: for a call that was refused, when it would fit.
local missing = admitted and 0 or units
local answer = { admitted and 1 or 0, granted, nil, nil, nil, nil, nil, nil, nil, nil, nil }
for i = 1, quotas do
  local window, limit = asked[i], numbers[2 * i - 1]
  local remaining, over, retry_ms, reset_ms = limit - window[USED], 0, 0, 0
  if remaining < 0 then remaining, over = 0, -remaining end
  if missing > limit then
    retry_ms = -1
  elseif missing > remaining then
    retry_ms = wait_ms(window, window[USED] - (limit - missing))
  end
  -- A limit lowered below the count shows growth only once the count is below it too.
  if over == 0 and window[OLDEST] then
    if window[UNITS] > 0 then reset_ms = leaves_ms(window[PER_S], window[OLDEST]) - now_ms end
  else
    reset_ms = wait_ms(window, over + 1)
  end
  answer[3 * i], answer[3 * i + 1], answer[3 * i + 2] = remaining, retry_ms, reset_ms
end
return pack(sub(ANSWER, 1, 4 + 6 * quotas), unpack(answer))
