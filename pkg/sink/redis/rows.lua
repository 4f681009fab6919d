-- What the steps of a sink do with rows, for apply.lua, which is the whole step
-- on a single server, and slot.lua, which is that of one slot of a Cluster. Block
-- numbers are 16 hex digits everywhere: as text they are in order, and Lua's
-- numbers end at 2^53.
local OK, STALE, TOO_DEEP = 0, 1, 2
local META, COVER, OPEN, INDEX, OWNERS, REPLACED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local call, sub, pack, unpacked = redis.call, string.sub, cmsgpack.pack, cmsgpack.unpack
local h = unpacked(ARGV[1])
local ttl = tonumber(h.ttl)
if h.slot then -- a call for a slot names the first of its keys only: there may be thousands of calls
  local base = sub(META, 1, -6)
  COVER, OPEN, INDEX, OWNERS, REPLACED = base .. 'coverage', base .. 'open', base .. 'index', base .. 'owners', base .. 'replaced'
end

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
  many = function(rows, from) call('MSET', unpack(rows, from)) end,
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

-- undo_slice undoes the blocks [lowest, limit) of an index entry, the latest row
-- first, and keeps the rest of the entry.
local function undo_slice(entry, lowest, limit)
  local bar = string.find(entry, '|', 34, true)
  local slice, groups = sub(entry, 34, bar - 1), unpacked(sub(entry, bar + 1))
  local gone, before, after = 0, {}, {}
  for g = 1, #groups, 2 do
    local kept = groups[g] < lowest and before or groups[g] >= limit and after
    if kept then kept[#kept + 1], kept[#kept + 2] = groups[g], groups[g + 1] end
  end
  for g = #groups - 1 - #after, #before + 1, -2 do
    local rows = groups[g + 1]
    for k = #rows - stride + 1, 1, -stride do
      gone = gone + undo(groups[g], rows[k], rows[k + 1], slice)
    end
  end
  call('ZREM', INDEX, entry)
  if #before > 0 then call('ZADD', INDEX, 0, sub(entry, 1, 16) .. lowest .. '|' .. slice .. '|' .. pack(before)) end
  if #after > 0 then call('ZADD', INDEX, 0, limit .. sub(entry, 17, 32) .. '|' .. slice .. '|' .. pack(after)) end
  return gone
end

-- below gives the entry of a set of ranges that starts before a block.
local function below(set, block) return call('ZREVRANGEBYLEX', set, '(' .. block, '-', 'LIMIT', 0, 1)[1] end
local function above(set, block) return call('ZRANGEBYLEX', set, '[' .. block, '+', 'LIMIT', 0, 1)[1] end

-- cut removes the blocks [n, limit); without a limit, every block from n on.
local function cut(n, limit)
  limit = limit or 'g' -- comes after all digits
  local gone, entries = 0, call('ZRANGEBYLEX', INDEX, '[' .. n, '(' .. limit)
  for i = #entries, 1, -1 do gone = gone + undo_slice(entries[i], n, limit) end
  local straddling = below(INDEX, n)
  if straddling and sub(straddling, 17, 32) > n then gone = gone + undo_slice(straddling, n, limit) end

  local ranges = call('ZRANGEBYLEX', COVER, '[' .. n, '(' .. limit)
  local range = below(COVER, n)
  if range and sub(range, 17) > n then
    call('ZADD', COVER, 0, sub(range, 1, 16) .. n)
    ranges[#ranges + 1] = range
  end
  for _, r in ipairs(ranges) do
    call('ZREM', COVER, r)
    if sub(r, 17) > limit then call('ZADD', COVER, 0, limit .. sub(r, 17)) end
  end
  for _, field in ipairs(call('HKEYS', OPEN)) do
    local block = sub(field, 1, 16)
    if block >= n and block < limit then call('HDEL', OPEN, field) end
  end
  return gone
end

-- wipe removes an open block: one that has come in part.
local function wipe(block)
  local gone, entries = 0, call('ZRANGEBYLEX', INDEX, '[' .. block, '(' .. block .. 'g')
  for i = #entries, 1, -1 do gone = gone + undo_slice(entries[i], block, 'g') end
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

-- raise_floor drops the index of the blocks that no reorg can reach any more.
local function raise_floor(floor)
  if not h.floor or floor and h.floor <= floor then return end
  local keep = below(INDEX, h.floor)
  if keep and sub(keep, 17, 32) > h.floor then
    call('ZREMRANGEBYLEX', INDEX, '-', '(' .. sub(keep, 1, 16))
  else
    call('ZREMRANGEBYLEX', INDEX, '-', '(' .. h.floor)
  end
  call('HSET', META, 'floor', h.floor)
end
