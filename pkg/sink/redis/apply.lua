-- One atomic step of a sink. All checks come before the first write, so the
-- answer {STALE} means that nothing was changed. Block numbers are 16 hex digits
-- everywhere: as text they are in order, and Lua's numbers end at 2^53.
--
-- KEYS  state, coverage, open, index, owners, replaced
-- ARGV  header and index entries (MessagePack), then the rows: of each its key,
--       what goes there and, in a sorted set, its score
--
-- docs/redis.md describes the keys.
local OK, STALE, TOO_DEEP = 0, 1, 2
local META, COVER, OPEN, INDEX, OWNERS, REPLACED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local call, sub, pack, unpacked = redis.call, string.sub, cmsgpack.pack, cmsgpack.unpack
local h = unpacked(ARGV[1])
local ttl = tonumber(h.ttl)

local function expire(key)
  if ttl > 0 then call('PEXPIRE', key, ttl) end
end

-- What a structure does with a row. value and restore are for rows that were
-- replaced by one of a higher block and may have to come back.
local kinds = {}

-- A hash comes, and stays among the replaced rows, as DUMP gives it.
kinds.hash = {
  write = function(key, dump)
    if redis.pcall('RESTORE', key, 0, dump).err then
      call('HLEN', key) -- fails if the key is something else, and nobody's of ours
      call('RESTORE', key, 0, dump, 'REPLACE')
    end
  end,
  given = function(dump) return dump end,
  value = function(key) return call('DUMP', key) or '' end,
  restore = function(key, _, v) if v == '' then call('UNLINK', key) else call('RESTORE', key, 0, v, 'REPLACE') end end,
  drop = function(key) return call('UNLINK', key) end,
}

kinds.string = {
  write = function(key, text) call('SET', key, text) end,
  many = function(from) call('MSET', unpack(ARGV, from)) end,
  given = kinds.hash.given,
  value = function(key) return call('GET', key) or '' end,
  restore = function(key, _, v) if v == '' then call('UNLINK', key) else call('SET', key, v) end end,
  drop = kinds.hash.drop,
}

kinds.json = {
  write = function(key, text) call('JSON.SET', key, '$', text) end,
  given = kinds.hash.given,
  value = function(key) return call('JSON.GET', key) or '' end,
  restore = function(key, _, v) if v == '' then call('UNLINK', key) else call('JSON.SET', key, '$', v) end end,
  drop = kinds.hash.drop,
}

kinds.set = {
  write = function(key, member) call('SADD', key, member) end,
  given = function() return '' end,
  value = function() return '' end,
  restore = function(key, member) call('SADD', key, member) end,
  drop = function(key, member) return call('SREM', key, member) end,
}

kinds.sorted_set = {
  write = function(key, member, score) call('ZADD', key, score, member) end,
  given = function(_, score) return score end,
  value = function(key, member) return call('ZSCORE', key, member) or '' end,
  restore = function(key, member, v) if v ~= '' then call('ZADD', key, v, member) end end,
  drop = function(key, member) return call('ZREM', key, member) end,
}

kinds.list = {
  write = function(key, element) call('RPUSH', key, element) end,
  drop = function(key, member) return call('LREM', key, -1, member) end,
}

kinds.stream = {
  -- An id is the number of the slice and that of the row in it.
  write = function(key, fields, _, slice, n) call('XADD', key, slice .. '-' .. n, unpack(unpacked(fields))) end,
  drop = function(key, row, slice) return call('XDEL', key, slice .. '-' .. row) end,
}

local kind = kinds[h.structure]
local owned = h.owned    -- rows of different blocks can have one name
local stride = tonumber(h.stride) -- elements of an index entry

local function name(key, member)
  if h.members then return #key .. ':' .. key .. member end
  return key
end

-- place gives where a block stands in a list of blocks, or where it belongs.
local function place(list, block)
  for at = 1, #list, 16 do
    local b = sub(list, at, at + 15)
    if b >= block then return at, b == block end
  end
  return #list + 1, false
end

-- prune forgets replaced rows that no reorg can bring back: of those below the
-- floor all but the highest.
local function prune(id, list)
  local floor = h.floor
  while floor and #list > 16 and sub(list, 17, 32) < floor do
    call('HDEL', REPLACED, sub(list, 1, 16) .. id)
    list = sub(list, 17)
  end
  return list
end

-- put writes a row of a name that blocks share: the highest of them is shown.
local function put(block, key, what, score)
  local id = name(key, what)
  local list = call('HGET', OWNERS, id)
  if not list then
    kind.write(key, what, score)
    expire(key)
    call('HSET', OWNERS, id, block)
    return
  end
  local shown = sub(list, -16)
  if block < shown then
    local at, there = place(list, block)
    call('HSET', REPLACED, block .. id, kind.given(what, score))
    if not there then list = sub(list, 1, at - 1) .. block .. sub(list, at) end
  else
    if block > shown then
      call('HSET', REPLACED, shown .. id, kind.value(key, what))
      list = list .. block
    end
    kind.write(key, what, score)
    expire(key)
  end
  call('HSET', OWNERS, id, prune(id, list))
end

-- undo removes what a block has written under a name and counts it.
local function undo(block, key, member, slice)
  if not owned then return kind.drop(key, member, slice) end
  local id = name(key, member)
  local list = call('HGET', OWNERS, id)
  if not list then return 0 end
  local at, there = place(list, block)
  if not there then return 0 end
  local rest = sub(list, 1, at - 1) .. sub(list, at + 16)
  if at + 15 < #list then
    call('HDEL', REPLACED, block .. id)
    call('HSET', OWNERS, id, rest)
  elseif rest == '' then
    kind.drop(key, member)
    call('HDEL', OWNERS, id)
  else
    local shown = sub(rest, -16)
    kind.restore(key, member, call('HGET', REPLACED, shown .. id))
    expire(key)
    call('HDEL', REPLACED, shown .. id)
    call('HSET', OWNERS, id, rest)
  end
  return 1
end

-- undo_slice undoes the blocks of an index entry from one on, the latest row
-- first, and keeps the rest of the entry.
local function undo_slice(entry, lowest)
  local bar = string.find(entry, '|', 34, true)
  local slice, groups = sub(entry, 34, bar - 1), unpacked(sub(entry, bar + 1))
  local gone, kept = 0, {}
  for g = 1, #groups, 2 do
    if groups[g] < lowest then
      kept[#kept + 1], kept[#kept + 2] = groups[g], groups[g + 1]
    end
  end
  for g = #groups - 1, #kept + 1, -2 do
    local rows = groups[g + 1]
    for k = #rows - stride + 1, 1, -stride do
      gone = gone + undo(groups[g], rows[k], rows[k + 1], slice)
    end
  end
  call('ZREM', INDEX, entry)
  if #kept > 0 then
    call('ZADD', INDEX, 0, sub(entry, 1, 16) .. lowest .. '|' .. slice .. '|' .. pack(kept))
  end
  return gone
end

-- below gives the entry of a set of ranges that starts before a block.
local function below(set, block) return call('ZREVRANGEBYLEX', set, '(' .. block, '-', 'LIMIT', 0, 1)[1] end
local function above(set, block) return call('ZRANGEBYLEX', set, '[' .. block, '+', 'LIMIT', 0, 1)[1] end

-- cut removes every block from n on.
local function cut(n)
  local gone, entries = 0, call('ZRANGEBYLEX', INDEX, '[' .. n, '+')
  for i = #entries, 1, -1 do gone = gone + undo_slice(entries[i], n) end
  local straddling = below(INDEX, n)
  if straddling and sub(straddling, 17, 32) > n then gone = gone + undo_slice(straddling, n) end

  call('ZREMRANGEBYLEX', COVER, '[' .. n, '+')
  local range = below(COVER, n)
  if range and sub(range, 17) > n then
    call('ZREM', COVER, range)
    call('ZADD', COVER, 0, sub(range, 1, 16) .. n)
  end
  for _, field in ipairs(call('HKEYS', OPEN)) do
    if sub(field, 1, 16) >= n then call('HDEL', OPEN, field) end
  end
  return gone
end

-- wipe removes an open block: one that has come in part.
local function wipe(block)
  local gone, entries = 0, call('ZRANGEBYLEX', INDEX, '[' .. block, '(' .. block .. 'g')
  for i = #entries, 1, -1 do gone = gone + undo_slice(entries[i], block) end
  for _, field in ipairs(call('HKEYS', OPEN)) do
    if sub(field, 1, 16) == block then call('HDEL', OPEN, field) end
  end
  return gone
end

-- covers tells whether all of [from, to) is covered.
local function covers(from, to)
  local range = call('ZREVRANGEBYLEX', COVER, '(' .. from .. 'g', '-', 'LIMIT', 0, 1)[1]
  return range and sub(range, 17) >= to
end

----------------------------------------------------------------------- checks

local live = call('HMGET', META, 'epoch', 'seq', 'start', 'floor', 'format')
if live[5] ~= h.format then return {STALE, 0, 'forgotten'} end
local floor = live[4]
if h.live then
  if (live[1] or '') ~= h.live[1] or (live[2] or '') ~= h.live[2] then return {STALE, 0} end
elseif live[3] and h.to > live[3] then
  return {STALE, 0}
end

if h.cut and floor and h.cut < floor then
  local last = call('ZREVRANGEBYLEX', COVER, '+', '-', 'LIMIT', 0, 1)[1]
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

----------------------------------------------------------------------- writes

local gone = 0
if h.cut then gone = cut(h.cut) end

if from and call('EXISTS', OPEN) == 1 then
  if another then
    gone = gone + wipe(from)
  elseif not h.token then
    for _, field in ipairs(call('HKEYS', OPEN)) do
      if #field == 16 and field >= from and field < to then gone = gone + wipe(field) end
    end
  end
end

if ARGV[3] then
  local slice = ''
  if h.structure == 'stream' then
    slice = call('HINCRBY', META, 'slice', 1)
  elseif h.token then
    slice = h.part .. '.' .. h.offset
  end
  -- The index comes first: should a row fail, what was written before it is
  -- known, and a repeat begins over it.
  if ARGV[2] ~= '' then call('ZADD', INDEX, 0, from .. to .. '|' .. slice .. '|' .. ARGV[2]) end
  local at, width, write = 3, tonumber(h.width), kind.write
  if owned then
    for b = 1, #h.blocks, 2 do
      for _ = 1, tonumber(h.blocks[b + 1]) do
        put(h.blocks[b], ARGV[at], ARGV[at + 1], ARGV[at + 2])
        at = at + width
      end
    end
  else
    if kind.many then
      kind.many(at)
    else
      for i = at, #ARGV, width do write(ARGV[i], ARGV[i + 1], ARGV[i + 2], slice, (i - at) / width) end
    end
    if ttl > 0 then
      for i = at, #ARGV, width do expire(ARGV[i]) end
    end
  end
end

if h.token and (h.last == '' or count < tonumber(h.parts)) then
  call('HSET', OPEN, from, h.token, from .. ':' .. h.part, h.last == '' and h.next or 'all')
  if h.last ~= '' then call('HINCRBY', OPEN, from .. '#', 1) else call('HSETNX', OPEN, from .. '#', 0) end
elseif from then
  if h.token and call('EXISTS', OPEN) == 1 then
    local fields = {}
    for _, field in ipairs(call('HKEYS', OPEN)) do
      if sub(field, 1, 16) == from then fields[#fields + 1] = field end
    end
    if #fields > 0 then call('HDEL', OPEN, unpack(fields)) end
  end
  local a, b = from, to
  if first then
    call('ZREM', COVER, first)
    a = sub(first, 1, 16)
  end
  if last then
    call('ZREM', COVER, last)
    b = sub(last, 17)
  end
  call('ZADD', COVER, 0, a .. b)
end

if h.set then call('HSET', META, unpack(h.set)) end

if h.floor and (not floor or h.floor > floor) then
  local keep = below(INDEX, h.floor)
  if keep and sub(keep, 17, 32) > h.floor then
    call('ZREMRANGEBYLEX', INDEX, '-', '(' .. sub(keep, 1, 16))
  else
    call('ZREMRANGEBYLEX', INDEX, '-', '(' .. h.floor)
  end
  call('HSET', META, 'floor', h.floor)
end
return {OK, gone}
