-- Takes a report of job status in: what kernel::status::Record::take does, where a whole fleet sees it.
--
-- KEYS[1]  the record, as the replaced Python service reads and writes it: JSON
-- KEYS[2]  what we know beyond that, as JSON: version, owner, named, reported_ms, and of each stage status,
--          attempt, completed, total, message, error_message, started_ms, finished_ms, updated_ms, and the
--          sender and number of the report that said so last. It is kept for longer than the record, which
--          Python may write on for long after our last report, and says nothing once that is gone
-- KEYS[3]  the last changes: a stream whose ids are <version>-0, each entry one field `c`, JSON
--          All three have one hash tag, so they lie in one slot of a cluster.
-- ARGV     now_ms      -1: by this server's clock, the only one that a fleet shares
--          waited_ms   how long ago the report was said
--          ttl_ms      how long the record and its changes are kept after this report
--          state_ms    how long what we know beyond it is
--          id          the resource's name
--          id_json     the same as JSON has it; a number may be longer than a double is exact
--          plan        {"stages": [name, ...], "statuses": {name: {"standing", "rank"}}}
--          update      {"stage", "status", and what is said of attempt, completed, total, message, error_message}
--          owner       a user's id
--          named       1: a service names the owner; 0: it is who reports
--          kept_max    how many changes are kept
--          channel     where changes are told at once
--          sender      who numbers its reports in the order in which they were said; empty: nobody does
--          number      that of this one
-- Answer   {effect: applied | known | outdated | other_owner, KEYS[1], KEYS[2]}

local now_ms, waited_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local ttl_ms, state_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local id, id_json = ARGV[5], ARGV[6]
local plan, update = cjson.decode(ARGV[7]), cjson.decode(ARGV[8])
local owner, named = ARGV[9], ARGV[10] == '1'
local kept_max, channel = tonumber(ARGV[11]), ARGV[12]
local sender = ARGV[13] ~= '' and ARGV[13] or nil
local number = sender and tonumber(ARGV[14])

local floor, format, max, min = math.floor, string.format, math.max, math.min

local is_held = now_ms ~= -1
if not is_held then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + floor(time[2] / 1000)
end
local said_ms = max(now_ms - waited_ms, 0)

-- A status that is known no more says nothing: it is pending, and before all others.
local function standing(status)
  local known = plan.statuses[status]
  return known and known.standing or 'pending'
end

local function rank(status)
  local known = plan.statuses[status]
  return known and known.rank or 0
end

-- A moment as Python's datetime writes it, with an offset or as UTC; nil for anything else, and before 1970.
-- Days are counted from a year that begins in March, so that a leap day is the last of one.
local function moment(text)
  if type(text) ~= 'string' then return nil end
  local year, month, day, h, m, s, rest = text:match('^(%d%d%d%d)-(%d%d)-(%d%d)T(%d%d):(%d%d):(%d%d)(.*)$')
  if not year then return nil end
  local ms, offset = rest:match('^%.?(%d*)(.*)$')
  local sign, offset_h, offset_m = offset:match('^([+-])(%d%d):(%d%d)$')
  if not sign and offset ~= '' and offset ~= 'Z' then return nil end
  month = tonumber(month)
  if month <= 2 then year = year - 1 end
  local era = floor(year / 400)
  local year_of_era = year - era * 400
  local day_of_year = floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5) + day - 1
  local day_of_era = year_of_era * 365 + floor(year_of_era / 4) - floor(year_of_era / 100) + day_of_year
  local minutes = h * 60 + m - (sign and tonumber(sign .. (offset_h * 60 + offset_m)) or 0)
  local since_1970_ms = (era * 146097 + day_of_era - 719468) * 86400000 + minutes * 60000 + s * 1000
    + tonumber((ms .. '000'):sub(1, 3))
  return since_1970_ms >= 0 and since_1970_ms or nil
end

-- What is there. Without the record nothing is: Python may have deleted it. By a clock that a test holds
-- it may be over though the key is still there.
local record_text, state_text = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local record = record_text and cjson.decode(record_text)
local state = record and state_text and cjson.decode(state_text)
-- When Python, or else we, wrote the record last; nil: it does not say.
local written_ms = record and moment(record.updated_at)
if is_held and state then
  local last_ms = max(state.reported_ms, written_ms or 0)
  if now_ms >= last_ms + ttl_ms then record, state = nil, nil end
end

-- Whether what we know is of a record before this one: Python wrote when ours was over, and not on from it,
-- for then all of its stages would be there.
local function is_former()
  if (written_ms or 0) < state.reported_ms + ttl_ms then return false end
  for stage in pairs(state.stages) do
    if type(record.stages) ~= 'table' or record.stages[stage] == nil then return true end
  end
  return false
end

if state and is_former() then state = nil end
if not state then
  state = { version = 0, reported_ms = 0, stages = {} }
  redis.call('DEL', KEYS[3])
end

-- What Python wrote since, then if it says when, and now at the latest. A stage that its record lacks is one
-- that it never knew of, and stays; a status that is no text is none. It has one error message for all, which
-- is then that of what has failed.
if record and type(record.stages) == 'table' then
  for stage, status in pairs(record.stages) do
    local known = state.stages[stage]
    if type(status) == 'string' and not (known and known.status == status) then
      local is_failed = standing(status) == 'failed' and type(record.error_message) == 'string'
      state.stages[stage] = {
        status = status,
        updated_ms = min(written_ms or now_ms, now_ms),
        error_message = is_failed and record.error_message or nil,
      }
    end
  end
end

-- The owner: a name stands over a guess, and against another name.
if state.named and named and state.owner ~= owner then
  return { 'other_owner', '', '' }
end
if not state.owner or (named and not state.named) then
  state.owner, state.named = owner, named
end

-- Whether the one is less than the other, part by part; what is not said is less than anything said.
local function is_less(ours, theirs)
  for i = 1, 3 do
    local our, their = ours[i] or -1, theirs[i] or -1
    if our ~= their then return our < their end
  end
  return false
end

local SAID = { 'status', 'attempt', 'completed', 'total', 'message', 'error_message' }

local present = state.stages[update.stage]

-- What a sender has given up may still be carried out, long after it was said. So its own reports go by their
-- numbers: one that it said after what stands is no earlier than that, and one that it said before is.
local is_own = present and sender and present.sender == sender
if is_own and number > present.number then said_ms = max(said_ms, present.updated_ms) end
local was_said_since = present
  and (waited_ms > 0 and present.updated_ms > said_ms or is_own and number < present.number)

-- What the report does: see kernel::status::Update::effect, and Report::effect where it has waited.
local says_attempt = update.attempt ~= nil
local effect = 'applied'
if present then
  if not says_attempt then update.attempt = present.attempt end
  local is_known = true
  for _, part in ipairs(SAID) do
    is_known = is_known and update[part] == present[part]
  end
  local ours = { update.attempt, rank(update.status), update.completed }
  local theirs = { present.attempt, rank(present.status), present.completed }
  if is_known then
    effect = 'known'
  elseif says_attempt and is_less(ours, theirs) then
    effect = 'outdated'
  elseif was_said_since and not (says_attempt and is_less(theirs, ours)) then
    effect = 'outdated'
  end
end

-- It is so still: what was said before that is older.
if effect == 'known' and not was_said_since then
  present.updated_ms = max(present.updated_ms, said_ms)
  present.sender, present.number = sender, number
end

-- The stage after it: see kernel::status::Update::state_after.
if effect == 'applied' then
  local stage, stands = {}, standing(update.status)
  for _, part in ipairs(SAID) do stage[part] = update[part] end
  if stands ~= 'pending' then
    local is_same = present and present.attempt == update.attempt
    stage.started_ms = is_same and present.started_ms or said_ms
  end
  if stands == 'completed' or stands == 'failed' then stage.finished_ms = said_ms end
  stage.updated_ms = said_ms
  stage.sender, stage.number = sender, is_own and max(number, present.number) or number
  state.stages[update.stage] = stage
end
local previous = state.version
-- After a failover that lost the last changes it is past those all the same.
if effect == 'applied' then state.version = max(now_ms, previous + 1) end
state.reported_ms = max(state.reported_ms, now_ms)

-- What the expected stages come to: see kernel::status::overall and phase.
local count = { pending = 0, processing = 0, completed = 0, failed = 0 }
local is_expected, names = {}, {}
for _, name in ipairs(plan.stages) do
  local stage = state.stages[name]
  local stands = stage and standing(stage.status) or 'pending'
  count[stands] = count[stands] + 1
  is_expected[name] = true
  names[#names + 1] = name
end
local overall, phase = 'pending', 'running'
if count.failed > 0 then
  overall, phase = 'failed', 'failed'
elseif count.processing > 0 then
  overall = 'processing'
elseif count.completed > 0 and count.pending == 0 then
  overall, phase = 'completed', 'done'
elseif count.completed == 0 then
  phase = 'queued'
end

-- What went wrong in the first stage that says so; stages that are not expected come last, by name.
local others = {}
for name in pairs(state.stages) do
  if not is_expected[name] then others[#others + 1] = name end
end
table.sort(others)
for _, name in ipairs(others) do names[#names + 1] = name end
local error_message, stages = nil, {}
for _, name in ipairs(names) do
  local stage = state.stages[name]
  if stage then
    stages[name] = stage.status
    if standing(stage.status) == 'failed' then error_message = error_message or stage.error_message end
  end
end

-- A moment as Python's datetime writes it (and reads it, also before 3.11). Days are counted from a year
-- that begins in March, so that a leap day is the last of one.
local function written(ms)
  local days, ms_of_day = floor(ms / 86400000), ms % 86400000
  local z = days + 719468
  local era = floor(z / 146097)
  local day_of_era = z - era * 146097
  local year_of_era = floor((day_of_era - floor(day_of_era / 1460) + floor(day_of_era / 36524)
    - floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era
    - (365 * year_of_era + floor(year_of_era / 4) - floor(year_of_era / 100))
  local month = floor((5 * day_of_year + 2) / 153)
  local day = day_of_year - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  local s = floor(ms_of_day / 1000)
  return format('%04d-%02d-%02dT%02d:%02d:%02d.%03d+00:00', year, month, day, floor(s / 3600),
    floor(s / 60) % 60, s % 60, ms_of_day % 1000)
end

-- The record is put together by hand: an id may be a number that cjson would round.
record_text = '{"resource_id":' .. id_json .. ',"overall_status":"' .. overall .. '","stages":'
  .. cjson.encode(stages) .. ',"error_message":'
  .. (error_message and cjson.encode(error_message) or 'null') .. ',"updated_at":"'
  .. written(state.reported_ms) .. '"}'
state_text = cjson.encode(state)
redis.call('SET', KEYS[1], record_text, 'PX', ttl_ms)
redis.call('SET', KEYS[2], state_text, 'PX', state_ms)

-- The change is kept for who is away, and told to who listens; that nobody may be told is no failure.
if effect == 'applied' then
  local change = cjson.encode({
    version = state.version,
    previous = previous,
    owner = state.owner,
    named = state.named,
    stage = update.stage,
    state = state.stages[update.stage],
    overall = overall,
    phase = phase,
    completed = count.completed,
    total = #plan.stages,
    error_message = error_message,
  })
  local entry = { KEYS[3], 'MAXLEN', kept_max, format('%.0f-0', state.version), 'c', change }
  if type(redis.pcall('XADD', unpack(entry))) == 'table' then
    -- The changes that stand there are of a record that was set back, and later by a clock that was, too.
    redis.call('DEL', KEYS[3])
    redis.call('XADD', unpack(entry))
  end
  redis.pcall('PUBLISH', channel, cjson.encode({ id = id }):sub(1, -2) .. ',"change":' .. change .. '}')
end
redis.call('PEXPIRE', KEYS[3], ttl_ms)
return { effect, record_text, state_text }
