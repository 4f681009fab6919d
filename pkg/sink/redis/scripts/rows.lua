-- What the steps of a sink do with rows, for apply.lua, which is the whole step
-- on a single server, and slot.lua, which is that of one slot of a Cluster. Block
-- numbers are 16 hex digits everywhere: as text they are in order, and Lua's
-- numbers end at 2^53.
local OK, STALE, TOO_DEEP = 0, 1, 2
local META, COVER, OPEN, INDEX, OWNERS, REPLACED = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local call, sub, pack, unpacked = redis.call, string.sub, cmsgpack.pack, cmsgpack.unpack
local h = unpacked(ARGV[1])
-- A text, as all that commands get for each row: a number would be formatted by printf.
local ttl = h.ttl ~= '0' and h.ttl
if h.slot then -- a call for a slot names the first of its keys only: there may be thousands of calls
  local base = sub(META, 1, -6)
  COVER, OPEN, INDEX, OWNERS, REPLACED = base .. 'coverage', base .. 'open', base .. 'index', base .. 'owners', base .. 'replaced'
end

local function expire(key)
  if ttl then call('PEXPIRE', key, ttl) end
end

-- raise ends the call with an error that was caught: pcall returns that of a command as
-- a text.
local function raise(err)
  error(type(err) == 'table' and err or {err = err})
end

-- holds reports whether a key holds what this structure writes, or nothing: what
-- somebody else has put in its place is left alone.
local function holds(key, kept)
  local is = call('TYPE', key).ok
  return is == kept or is == 'none'
end

-- without returns the number of rows that a command has removed. Where a key holds
-- something else by now, there is none of ours.
local function without(reply)
  if type(reply) ~= 'table' then return reply end
  if sub(reply.err, 1, 9) == 'WRONGTYPE' then return 0 end
  raise(reply)
end

-- What a structure does with a row. write writes it, and returns what it has
-- replaced, if anything; it raises, and changes nothing, if the key holds something
-- else. given and restore are for rows that were replaced and may have to come back:
-- what is kept of one, and how it comes back. drop removes a row and returns how
-- many there were. expires says that write sets the time to live as well.
local kinds = {}

local function unlinked(kept)
  return function(key) return holds(key, kept) and call('UNLINK', key) or 0 end
end

-- A hash comes, and stays among the replaced rows, as DUMP returns it.
kinds.hash = {
  expires = true,
  write = function(key, dump)
    if not redis.pcall('RESTORE', key, ttl or '0', dump).err then return end
    call('HLEN', key) -- raises if the key is something else
    local was = call('DUMP', key)
    call('RESTORE', key, ttl or '0', dump, 'REPLACE')
    return was
  end,
  given = function(dump) return dump end,
  drop = unlinked('hash'),
}

kinds.hash.restore = function(key, _, v)
  if v == '' then return kinds.hash.drop(key) end
  if holds(key, 'hash') then call('RESTORE', key, '0', v, 'REPLACE') end
end

kinds.string = {
  write = function(key, text) return call('SET', key, text, 'GET') end,
  given = kinds.hash.given,
  drop = unlinked('string'),
}

kinds.string.restore = function(key, _, v)
  if v == '' then return kinds.string.drop(key) end
  if holds(key, 'string') then call('SET', key, v) end
end

-- all writes rows whose keys do not exist at once, and reports whether it has.
kinds.string.all = function(rows, from)
  local keys = {}
  for i = from, #rows, 2 do keys[#keys + 1] = rows[i] end
  if call('EXISTS', unpack(keys)) > 0 then return false end
  call('MSET', unpack(rows, from))
  return true
end

kinds.json = {
  write = function(key, text)
    if call('JSON.SET', key, '$', text, 'NX') then return end
    local was = call('JSON.GET', key)
    call('JSON.SET', key, '$', text)
    return was
  end,
  given = kinds.hash.given,
  drop = unlinked('ReJSON-RL'),
}

kinds.json.restore = function(key, _, v)
  if v == '' then return kinds.json.drop(key) end
  if holds(key, 'ReJSON-RL') then call('JSON.SET', key, '$', v) end
end

kinds.set = {
  write = function(key, member) return call('SADD', key, member) == 0 and '' end,
  given = function() return '' end,
  restore = function(key, member) if holds(key, 'set') then call('SADD', key, member) end end,
  drop = function(key, member) return without(redis.pcall('SREM', key, member)) end,
}

kinds.sorted_set = {
  write = function(key, member, score)
    if call('ZADD', key, 'NX', score, member) == 1 then return end
    local was = call('ZSCORE', key, member)
    call('ZADD', key, score, member)
    return was
  end,
  given = function(_, score) return score end,
  restore = function(key, member, v) if v ~= '' and holds(key, 'zset') then call('ZADD', key, v, member) end end,
  drop = function(key, member) return without(redis.pcall('ZREM', key, member)) end,
}

kinds.list = {
  write = function(key, element) call('RPUSH', key, element) end,
  drop = function(key, member) return without(redis.pcall('LREM', key, -1, member)) end,
}

kinds.stream = {
  -- An id is the number of the slice and that of the row in it.
  write = function(key, fields, _, slice, n) call('XADD', key, slice .. '-' .. n, unpack(unpacked(fields))) end,
  drop = function(key, row, slice) return without(redis.pcall('XDEL', key, slice .. '-' .. row)) end,
}

local kind = kinds[h.structure]

-- expire_row sets the time to live of a row that was written, if write has not.
local function expire_row(key)
  if not kind.expires then expire(key) end
end

local owned = h.owned    -- rows of different blocks can have one name
local stride = tonumber(h.stride) -- elements of an index entry

local function name(key, member)
  if h.members then return #key .. ':' .. key .. member end
  return key
end

-- place returns where a block stands in a list of blocks, or where it belongs.
local function place(list, block)
  for at = 1, #list, 16 do
    local b = sub(list, at, at + 15)
    if b >= block then return at, b == block end
  end
  return #list + 1, false
end

-- forgotten are fields of replaced rows that no reorg can bring back. They are
-- removed when nothing can be taken back any more.
local forgotten = {}

-- prune drops from a list the blocks whose rows no reorg can bring back: of those
-- below the floor all but the highest.
local function prune(id, list)
  local floor = h.floor
  while floor and #list > 16 and sub(list, 17, 32) < floor do
    forgotten[#forgotten + 1] = sub(list, 1, 16) .. id
    list = sub(list, 17)
  end
  return list
end

local function forget()
  for _, field in ipairs(forgotten) do call('HDEL', REPLACED, field) end
end

-- Lua is not rolled back when a command is refused: what was written before it
-- stays. So every row that is written can be taken back: a journal has, of each, its
-- key, what was written there (of a stream: the number of the row), what that
-- replaced, and whether it was written. If blocks share names it also has the name,
-- once its blocks were changed, the blocks before, the field of replaced rows that
-- was set, and its value before.
local journal = {}

-- put writes a row of a name that blocks share: the highest of them is shown.
local function put(block, key, what, score)
  local id = name(key, what)
  local list = call('HGET', OWNERS, id)
  local row = {key, what, false, false, false, list, false, false}
  journal[#journal + 1] = row
  if not list then
    row[3], row[4] = kind.write(key, what, score) or false, true
    expire_row(key)
    call('HSET', OWNERS, id, block)
    row[5] = id
    return
  end
  local shown = sub(list, -16)
  if block < shown then
    local at, there = place(list, block)
    local field = block .. id
    row[8] = there and call('HGET', REPLACED, field)
    call('HSET', REPLACED, field, kind.given(what, score))
    row[7] = field
    if not there then list = sub(list, 1, at - 1) .. block .. sub(list, at) end
  else
    local was = kind.write(key, what, score) or ''
    row[3], row[4] = was, true
    if block > shown then
      call('HSET', REPLACED, shown .. id, was)
      row[7] = shown .. id
      list = list .. block
    end
    expire_row(key)
  end
  call('HSET', OWNERS, id, prune(id, list))
  row[5] = id
end

-- revert takes back a row of the journal. It may be repeated.
local function revert(row, slice)
  local key, what, was, id, list, field = row[1], row[2], row[3], row[5], row[6], row[7]
  if row[4] and was then
    kind.restore(key, what, was)
    if ttl then redis.pcall('PEXPIRE', key, ttl) end -- the repeat writes the same key again
  elseif row[4] then
    kind.drop(key, what, slice)
  end
  if id and list then
    call('HSET', OWNERS, id, list)
  elseif id then
    call('HDEL', OWNERS, id)
  end
  if field and row[8] then
    call('HSET', REPLACED, field, row[8])
  elseif field then
    call('HDEL', REPLACED, field)
  end
end

-- LEFT begins the member of the index that holds rows which could not be taken back;
-- it comes before all digits.
local LEFT = '!'

-- take_back takes back rows, the latest first, and returns the error that stopped it,
-- if one did. Rows that are left are noted, exactly: the next step begins with them.
local function take_back(rows, slice)
  for i = #rows, 1, -1 do
    local ok, err = pcall(revert, rows[i], slice)
    if not ok then
      local left = {}
      for k = 1, i do left[k] = rows[k] end
      call('ZADD', INDEX, 0, LEFT .. pack({slice, left}))
      return err
    end
  end
end

-- prepare comes before everything that changes rows, and takes back what a step has
-- left that was refused. It sees to it that the index can be changed, since what is
-- done to rows has to be noted there. A full server refuses ZADD unless something was
-- changed before: so it refuses rows, and not a reorg.
local function prepare(removes)
  if removes then call('ZREM', INDEX, LEFT) end -- these change nothing
  call('ZADD', INDEX, 'XX', 0, LEFT)
  if not removes then call('ZREM', INDEX, LEFT) end
  for _, entry in ipairs(call('ZRANGEBYLEX', INDEX, '[' .. LEFT, '(0')) do
    local left = unpacked(sub(entry, 2))
    call('ZREM', INDEX, entry)
    local err = take_back(left[2], left[1])
    if err then raise(err) end
  end
end

-- undo removes what a block has written under a name and returns how many rows
-- that were. It may be repeated when it was refused half way.
local function undo(block, key, member, slice)
  if not owned then return kind.drop(key, member, slice) end
  local id = name(key, member)
  local list = call('HGET', OWNERS, id)
  if not list then return 0 end
  local at, there = place(list, block)
  if not there then -- nothing, or what a refusal has left
    call('HDEL', REPLACED, block .. id, sub(list, -16) .. id)
    return 0
  end
  local rest = sub(list, 1, at - 1) .. sub(list, at + 16)
  if at + 15 < #list then
    call('HSET', OWNERS, id, rest)
    call('HDEL', REPLACED, block .. id)
  elseif rest == '' then
    kind.drop(key, member)
    call('HDEL', OWNERS, id)
  else
    local shown = sub(rest, -16)
    kind.restore(key, member, call('HGET', REPLACED, shown .. id))
    expire(key)
    call('HSET', OWNERS, id, rest)
    call('HDEL', REPLACED, shown .. id)
  end
  return 1
end

-- undo_slice undoes the blocks [lowest, limit) of an index entry, the latest row
-- first, and keeps the rest of the entry: if it is refused half way, what is left.
local function undo_slice(entry, lowest, limit)
  local bar = string.find(entry, '|', 34, true)
  local slice, groups = sub(entry, 34, bar - 1), unpacked(sub(entry, bar + 1))
  local gone, before, after = 0, {}, {}
  for g = 1, #groups, 2 do
    local kept = groups[g] < lowest and before or groups[g] >= limit and after
    if kept then kept[#kept + 1], kept[#kept + 2] = groups[g], groups[g + 1] end
  end
  local g, k = #groups - 1 - #after, 0
  local ok, err = pcall(function()
    while g > #before do
      local rows = groups[g + 1]
      k = #rows - stride + 1
      while k > 0 do
        gone = gone + undo(groups[g], rows[k], rows[k + 1], slice)
        k = k - stride
      end
      g = g - 2
    end
  end)
  call('ZREM', INDEX, entry)
  local start, finish, upto = sub(entry, 1, 16), sub(entry, 17, 32), lowest
  if not ok then
    for i = #before + 1, g, 2 do
      local rows, last = {}, i < g and #groups[i + 1] or k + stride - 1
      for r = 1, last do rows[r] = groups[i + 1][r] end
      before[i], before[i + 1] = groups[i], rows
    end
    upto = #after > 0 and limit or finish
  end
  if #before > 0 then call('ZADD', INDEX, 0, start .. upto .. '|' .. slice .. '|' .. pack(before)) end
  if #after > 0 then call('ZADD', INDEX, 0, limit .. finish .. '|' .. slice .. '|' .. pack(after)) end
  if not ok then raise(err) end
  return gone
end

-- below returns the entry of a set of ranges that starts before a block.
local function below(set, block) return call('ZREVRANGEBYLEX', set, '(' .. block, '[0', 'LIMIT', 0, 1)[1] end
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

-- VOID is the token of an open block that is being removed: nothing is added to it.
local VOID = '0 -'

-- wipe removes an open block: one that has come in part.
local function wipe(block)
  call('HSET', OPEN, block, VOID) -- if it is refused half way, no more of it may come
  local gone, entries = 0, call('ZRANGEBYLEX', INDEX, '[' .. block, '(' .. block .. 'g')
  for i = #entries, 1, -1 do gone = gone + undo_slice(entries[i], block, 'g') end
  for _, field in ipairs(call('HKEYS', OPEN)) do
    if sub(field, 1, 16) == block then call('HDEL', OPEN, field) end
  end
  return gone
end

-- covers reports whether all of [from, to) is covered.
local function covers(from, to)
  local range = call('ZREVRANGEBYLEX', COVER, '(' .. from .. 'g', '-', 'LIMIT', 0, 1)[1]
  return range and sub(range, 17) >= to
end

-- raise_floor drops the index of the blocks that no reorg can reach any more. The
-- floor comes first: no block above it may lack an index.
local function raise_floor(floor)
  if not h.floor or floor and h.floor <= floor then return end
  call('HSET', META, 'floor', h.floor)
  local keep = below(INDEX, h.floor)
  if keep and sub(keep, 17, 32) > h.floor then
    call('ZREMRANGEBYLEX', INDEX, '[0', '(' .. sub(keep, 1, 16))
  else
    call('ZREMRANGEBYLEX', INDEX, '[0', '(' .. h.floor)
  end
end
