-- One atomic step of a sink. All checks come before the first write, so the
-- answer {STALE} means that nothing was changed. In a Cluster this is the step of
-- the home slot, which has no rows: what it adds to the coverage has been written
-- to the slots before (slot.lua).
--
-- KEYS  state, coverage, open, index, owners, replaced; in a Cluster also one that
--       never exists, slots, ready
-- ARGV  header and index entries (MessagePack), then the rows: of each its key,
--       what goes there and, in a sorted set, its score
--
-- With a latch, the key after these, the rows are no arguments: MSETNX sets them and
-- the latch between two calls of one transaction, if it finds none of them. The first
-- call, with the header alone, takes the latch away if all is well; the second puts
-- it back, and does the rest if the rows are there. So whatever goes wrong, there is
-- a latch, and no row.
--
-- docs/redis.md describes the keys.

local LATCH, TAKEN = h.latch and KEYS[7], 3
local first_call = LATCH and #ARGV == 1
if first_call then call('SET', LATCH, '') end

----------------------------------------------------------------------- checks

local live = call('HMGET', META, 'epoch', 'seq', 'start', 'floor', 'format')
if live[5] ~= h.format then return {STALE, 0, 'forgotten'} end
local floor = live[4]
if h.live then
  for i = 1, 3 do -- a removal moves the start, and leaves the sequence
    if (live[i] or '') ~= h.live[i] then return {STALE, 0} end
  end
elseif live[3] and (h.to or h.limit or '') > live[3] then
  return {STALE, 0}
end

-- Of a Cluster: every step belongs to the fence that it was planned behind, and
-- waits until what that fence voids is gone from all slots.
local SLOTS, READY = KEYS[8], KEYS[9]
if h.home then
  local at = call('HMGET', META, 'id', 'fence', 'pending')
  if at[1] ~= h.home[1] then return {STALE, 0, 'forgotten'} end
  if at[2] ~= h.home[2] then return {STALE, 0} end
  if h.settled then
    call('HDEL', META, 'pending')
    return {OK, 0}
  end
  if at[3] then return {STALE, 0} end
  for i = 1, #(h.claims or {}), 2 do
    local token = call('HGET', OPEN, h.claims[i])
    if token and token ~= h.claims[i + 1] or covers(h.claims[i], h.claims[i] .. '0') then return {STALE, 0} end
  end
  for i = 1, #(h.unclaim or {}), 2 do -- what is complete by now is not open any more, and stays
    if call('HGET', OPEN, h.unclaim[i]) ~= h.unclaim[i + 1] then return {STALE, 0} end
  end
  if h.from then -- parts that have come meanwhile are to be voided first
    for _, field in ipairs(call('HKEYS', OPEN)) do
      if #field == 16 and field >= h.from and field < h.to and call('HGET', OPEN, field) ~= h.token then return {STALE, 0} end
    end
  end
end

if h.cut and floor and h.cut < floor then
  local last = call('ZREVRANGEBYLEX', COVER, h.limit and '(' .. h.limit or '+', '-', 'LIMIT', 0, 1)[1]
  if last and sub(last, 17) > h.cut then return {TOO_DEEP, 0, floor} end
end

local from, to, first, last = h.from, h.to, nil, nil -- first and last: neighbours in the coverage
if from then
  first = below(COVER, from)
  if first and sub(first, 17) > from then return {STALE, 0} end
  last = above(COVER, from)
  if last and sub(last, 1, 16) < to then return {STALE, 0} end
  first = first and sub(first, 17) == from and first
  last = last and sub(last, 1, 16) == to and last
end

local another, count -- another reading of the open block; how many parts are done after this
if h.token then
  local token = call('HGET', OPEN, from)
  local done = call('HGET', OPEN, from .. ':' .. h.part)
  if h.offset ~= '0' then
    if token ~= h.token or done ~= h.offset then return {STALE, 0} end
  elseif token == h.token then
    if done then return {STALE, 0} end
  else
    another = token
  end
  count = 1
  if token == h.token then count = 1 + tonumber(call('HGET', OPEN, from .. '#')) end
end

if h.whole then -- the live sequence moves on only if all of its entry is here
  local a, b = h.whole[1], h.whole[2]
  if from then
    if (first and sub(first, 1, 16) or from) > a or (last and sub(last, 17) or to) < b then return {STALE, 0} end
  elseif not covers(a, b) then
    return {STALE, 0}
  end
elseif h.arrived and not covers(h.arrived[1], h.arrived[2]) then
  if call('HGET', OPEN, h.arrived[1]) ~= h.arrived[3] or call('HGET', OPEN, h.arrived[1] .. ':' .. h.arrived[4]) ~= 'all' then return {STALE, 0} end
end

if first_call then
  prepare()
  call('UNLINK', LATCH)
  return {OK, 0}
elseif LATCH then
  local there = call('GET', LATCH) == 'rows'
  call('SET', LATCH, '')
  if not there then return {TAKEN, 0} end
elseif not h.home then
  prepare(h.cut)
end

----------------------------------------------------------------------- writes

local gone, slots = 0, nil
if h.cut then gone = cut(h.cut, h.limit) end

if h.home then
  for _, slot in ipairs(h.slots or {}) do call('SETBIT', SLOTS, slot, 1) end
  for _, slot in ipairs(h.ready or {}) do call('SETBIT', READY, slot, 1) end
  for i = 1, #(h.claims or {}), 2 do
    call('HSET', OPEN, h.claims[i], h.claims[i + 1])
    call('HSETNX', OPEN, h.claims[i] .. '#', 0)
  end
  if h.fence then -- from here on, steps that were planned before are refused
    for i = 1, #(h.unclaim or {}), 2 do wipe(h.unclaim[i]) end
    call('HSET', META, 'fence', h.fence, 'pending', h.pending)
    slots = call('GET', SLOTS)
  end
end

if from and call('EXISTS', OPEN) == 1 then
  if another then
    gone = gone + wipe(from)
  elseif not h.token then
    for _, field in ipairs(call('HKEYS', OPEN)) do
      if #field == 16 and field >= from and field < to then gone = gone + wipe(field) end
    end
  end
end

-- Rows, their index and what says that they are there: all, or nothing. The last
-- command of commit is the one that says it.
local slice, entry, done, was = '', nil, 0, {}
local width = tonumber(h.width)

local function write_rows()
  if owned then
    local at = 3
    for b = 1, #h.blocks, 2 do
      for _ = 1, tonumber(h.blocks[b + 1]) do
        put(h.blocks[b], ARGV[at], ARGV[at + 1], ARGV[at + 2])
        at = at + width
      end
    end
    return
  end
  if kind.all and kind.all(ARGV, 3) then
    done = (#ARGV - 2) / width
  else
    local write = kind.write
    for i = 3, #ARGV, width do
      local replaced = write(ARGV[i], ARGV[i + 1], ARGV[i + 2], slice, done)
      done = done + 1
      if replaced then was[done] = replaced end
    end
  end
  if ttl and not kind.expires then
    for i = 3, #ARGV, width do expire(ARGV[i]) end
  end
end

local function commit()
  if ARGV[3] or LATCH then
    if ARGV[2] ~= '' then
      entry = from .. to .. '|' .. slice .. '|' .. ARGV[2]
      call('ZADD', INDEX, 0, entry)
    end
    if not LATCH then write_rows() end
  end
  if h.token and (h.last == '' or count < tonumber(h.parts)) then
    call('HSET', OPEN, from, h.token, from .. ':' .. h.part, h.last == '' and h.next or 'all', from .. '#', h.last == '' and count - 1 or count)
  elseif from then
    call('ZADD', COVER, 0, (first and sub(first, 1, 16) or from) .. (last and sub(last, 17) or to))
  end
end

-- written returns the journal of the rows of this slice. The rows that are set past
-- the script are those of its index.
local function written()
  if owned then return journal end
  local rows = {}
  if LATCH then
    local groups = ARGV[2] ~= '' and unpacked(ARGV[2]) or {}
    for g = 2, #groups, 2 do
      for _, key in ipairs(groups[g]) do rows[#rows + 1] = {key, '', false, true} end
    end
  end
  for i = 1, done do
    local at = 3 + (i - 1) * width
    rows[i] = {ARGV[at], h.structure == 'stream' and i - 1 or ARGV[at + 1], was[i] or false, true}
  end
  return rows
end

if h.structure == 'stream' and ARGV[3] then
  slice = call('HINCRBY', META, 'slice', 1)
elseif h.token then
  slice = h.part .. '.' .. h.offset
end
local ok, err = pcall(commit)
if not ok then
  take_back(written(), slice)
  if entry then call('ZREM', INDEX, entry) end
  raise(err)
end

-- What follows may be refused: then it is superfluous, or the repeat does it.
if from and not (h.token and (h.last == '' or count < tonumber(h.parts))) then
  if first then call('ZREM', COVER, first) end
  if last then call('ZREM', COVER, last) end
  if h.token and call('EXISTS', OPEN) == 1 then
    local fields = {}
    for _, field in ipairs(call('HKEYS', OPEN)) do
      if sub(field, 1, 16) == from then fields[#fields + 1] = field end
    end
    if #fields > 0 then call('HDEL', OPEN, unpack(fields)) end
  end
end
if h.set then call('HSET', META, unpack(h.set)) end
forget()
raise_floor(floor)
return {OK, gone, slots}
