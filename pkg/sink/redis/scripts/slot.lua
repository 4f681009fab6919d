-- The step of one slot of a Cluster: rows, their index and the record of the
-- blocks that this slot has. A repeat writes what is missing and nothing twice,
-- however the blocks are cut. The home slot says what of it is committed.
--
-- KEYS  state of the slot, and a key that never exists: while a slot is on its way
--       to another node, a missing key makes the node refuse a call before it
--       begins; else it would fail half way, at the first key that has moved
-- ARGV  header, portions, index entries of each of them (MessagePack)

local at = call('HMGET', META, 'format', 'id', 'fence', 'floor')
if not at[1] then
  if h.ready then return {STALE, 0, 'lost'} end
elseif at[1] ~= h.format or at[2] ~= h.id then
  return {STALE, 0, 'kept'}
end
local fence, floor = at[3], at[4]

if h.voids then
  prepare(true)
  local gone = 0
  if not fence or fence < h.fence then
    for i = 1, #h.voids, 2 do gone = gone + cut(h.voids[i], h.voids[i + 1]) end
    call('HSET', META, 'format', h.format, 'id', h.id, 'fence', h.fence)
  end
  return {OK, gone, 0}
end

if fence and fence > h.fence then return {STALE, 0} end
if fence and fence < h.fence then return {STALE, 0, 'lost'} end
if h.after and not covers(h.after, h.after .. '0') then return {STALE, 0} end

-- missing returns the parts of [from, to) that are not here.
local function missing(from, to)
  local parts, n = {}, from
  local range = below(COVER, from)
  if range and sub(range, 17) > n then n = sub(range, 17) end
  for _, r in ipairs(call('ZRANGEBYLEX', COVER, '[' .. from, '(' .. to)) do
    if sub(r, 1, 16) > n then parts[#parts + 1], parts[#parts + 2] = n, sub(r, 1, 16) end
    if sub(r, 17) > n then n = sub(r, 17) end
  end
  if n < to then parts[#parts + 1], parts[#parts + 2] = n, to end
  return parts
end

local function within(parts, block)
  for i = 1, #parts, 2 do
    if parts[i] <= block and block < parts[i + 1] then return true end
  end
  return false
end

----------------------------------------------------------------------- checks

-- A portion is lo, from, to, hi, groups: the blocks [from, to), of which the groups
-- are the rows of this slot, and around them those that home has, [lo, hi). A piece
-- of one block adds token, part, offset, next, last. The token of a part begins
-- with p and is known to home; that of a piece, with w.
local portions, indexes = unpacked(ARGV[2]), unpacked(ARGV[3])
local opened = {}
local flat = call('HGETALL', OPEN)
for i = 1, #flat, 2 do opened[flat[i]] = flat[i + 1] end

local plans, wiped = {}, {}
for k, p in ipairs(portions) do
  local from, to, token = p[2], p[3], p[6]
  local plan = {parts = missing(from, to), skip = 0}
  if #plan.parts == 0 then
    plan.done = true
  elseif token then
    local there, done = opened[from], opened[from .. ':' .. p[7]]
    if there == token then
      if done == 'all' then
        plan.done = true
      else
        local have = tonumber(done or '0')
        if have < tonumber(p[8]) then return {STALE, 0} end
        if have >= tonumber(p[9]) then plan.done = true else plan.skip = have - tonumber(p[8]) end
      end
    elseif there and sub(there, 1, 1) == 'p' or p[8] ~= '0' then
      return {STALE, 0}
    elseif there then
      wiped[#wiped + 1] = from
    end
  else
    for field, there in pairs(opened) do
      if #field == 16 and within(plan.parts, field) then
        if sub(there, 1, 1) == 'p' then return {STALE, 0} end
        wiped[#wiped + 1] = field
      end
    end
  end
  plans[k] = plan
end

----------------------------------------------------------------------- writes

prepare()
local gone, count = 0, 0
for _, block in ipairs(wiped) do gone = gone + wipe(block) end
if not at[1] then call('HSET', META, 'format', h.format, 'id', h.id) end
if not fence then call('HSET', META, 'fence', h.fence) end

-- rest leaves the first rows out of a group, or the first elements of an index.
local function rest(groups, skip)
  local rows = {}
  for i = skip + 1, #groups[2] do rows[#rows + 1] = groups[2][i] end
  return {groups[1], rows}
end

-- chosen returns the groups of an index entry that are of some blocks.
local function chosen(groups, from, to)
  local some = {}
  for g = 1, #groups, 2 do
    if groups[g] >= from and groups[g] < to then some[#some + 1], some[#some + 2] = groups[g], groups[g + 1] end
  end
  return some
end

-- write writes the rows of groups: a block and its rows, and so on, each with what
-- goes there and, in a sorted set, its score. It leaves out the blocks that are not
-- wanted, if it is told which are. n is the number of the first row in its slice.
local function write(groups, slice, n, wanted)
  for g = 1, #groups, 2 do
    local block, rows = groups[g], groups[g + 1]
    if not wanted or wanted(block) then
      for i, r in ipairs(rows) do
        if owned then
          put(block, r[1], r[2], r[3])
        else
          local was = kind.write(r[1], r[2], r[3], slice, n + i - 1)
          journal[#journal + 1] = {r[1], h.structure == 'stream' and n + i - 1 or r[2], was or false, true}
          expire_row(r[1])
        end
      end
      count = count + #rows
    end
    n = n + #rows
  end
end

-- merge notes that this slot has all its rows of [lo, hi), and returns what has to be
-- removed after that: ranges, and fields of open blocks.
local function merge(lo, hi)
  local a, b = lo, hi
  local before = below(COVER, lo)
  if before and sub(before, 17) >= lo then
    a = sub(before, 1, 16)
    if sub(before, 17) > b then b = sub(before, 17) end
  else
    before = nil
  end
  local ranges = call('ZRANGEBYLEX', COVER, '[' .. lo, '(' .. hi .. 'g')
  if #ranges > 0 and sub(ranges[#ranges], 17) > b then b = sub(ranges[#ranges], 17) end
  ranges[#ranges + 1] = before
  local range, fields = a .. b, {}
  call('ZADD', COVER, 0, range)
  for i = #ranges, 1, -1 do
    if ranges[i] == range then table.remove(ranges, i) end
  end
  for field in pairs(opened) do
    local block = sub(field, 1, 16)
    if block >= lo and block < hi then fields[#fields + 1] = field end
  end
  return ranges, fields
end

local function tidy(ranges, fields)
  for _, range in ipairs(ranges or {}) do call('ZREM', COVER, range) end
  for _, field in ipairs(fields or {}) do call('HDEL', OPEN, field) end
end

-- add writes the rows of a portion, their index and, as its last command, what says
-- that they are there. entries are those of the index that it has written.
local function add(p, plan, index, groups, slice, entries)
  local parts, from, to, token = plan.parts, p[2], p[3], p[6]
  local whole = parts[1] == from and parts[2] == to
  local function known(a, b, packed)
    entries[#entries + 1] = a .. b .. '|' .. slice .. '|' .. packed
    call('ZADD', INDEX, 0, entries[#entries])
  end
  -- Between two entries there is none of other blocks.
  if index ~= '' and whole then
    known(from, to, index)
  elseif index ~= '' then
    local all = unpacked(index)
    for i = 1, #parts, 2 do
      local some = chosen(all, parts[i], parts[i + 1])
      if #some > 0 then known(parts[i], parts[i + 1], pack(some)) end
    end
  end
  write(groups, slice, plan.skip, not whole and function(block) return within(parts, block) end)
  if token and (p[10] == '' or sub(token, 1, 1) == 'p') then
    call('HSET', OPEN, from, token, from .. ':' .. p[7], p[10] == '' and p[9] or 'all')
  else
    return merge(p[1], p[4])
  end
end

for k, p in ipairs(portions) do
  local plan, index, groups, token = plans[k], indexes[k], p[5], p[6]
  if not plan.done then
    local slice = ''
    if h.structure == 'stream' then
      slice = call('HINCRBY', META, 'slice', 1)
    elseif token then
      slice = p[7] .. '.' .. p[8]
    end
    if plan.skip > 0 then
      groups = rest(groups, plan.skip)
      if index ~= '' then index = pack(rest(unpacked(index), plan.skip * stride)) end
    end
    local entries = {}
    journal = {}
    local ok, ranges, fields = pcall(add, p, plan, index, groups, slice, entries)
    if not ok then
      take_back(journal, slice)
      for _, entry in ipairs(entries) do call('ZREM', INDEX, entry) end
      raise(ranges)
    end
    tidy(ranges, fields)
  elseif not token then
    tidy(merge(p[1], p[4]))
  end
end

forget()
raise_floor(floor)
return {OK, gone, count}
