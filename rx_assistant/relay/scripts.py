"""The Lua scripts of a relay in Redis: each is one atomic step on the keys of one run.

All keys of a run have one hash tag, so that they are in one slot of a cluster. Nothing here depends on a clock, except
the expiry of keys.

    state      hash: status, generation, count, reason
    lease      exists while the producer of the generation that it holds is alive
    log        stream: id `<number after the last event>-<2 * generation>`, `f` the frames, `s` the first number,
               `z` at the end; the odd ids in between are entries without frames, which only wake the followers
    commands   stream of the followers' commands
    snapshot   hash: position, frames
"""

from __future__ import annotations

from typing import Final

_KEYS: Final = """
local state, lease, log, commands, snapshot = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local function keep(ttl)
  for _, key in ipairs({state, log, commands, snapshot}) do redis.call('PEXPIRE', key, ttl) end
end
"""

_OWNED: Final = (
    _KEYS
    + """
local now = redis.call('HMGET', state, 'generation', 'status', 'count')
if not now[1] then return 'lost' end
if now[1] ~= ARGV[1] then return 'fenced' end
local status, count = now[2], tonumber(now[3])
"""
)

CLAIM: Final = (
    _KEYS
    + """
-- ARGV: lease, ttl, generation to take over ('' without), number of the first event ('' without)
local now = redis.call('HMGET', state, 'generation', 'status', 'count')
local generation, count = (tonumber(ARGV[3]) or 0) + 1, tonumber(ARGV[4]) or 0
if now[1] then
  local alive = redis.call('EXISTS', lease) == 1
  if now[2] == 'ended' or (now[2] == 'open' and alive) then return false end
  if ARGV[3] ~= '' and (ARGV[3] ~= now[1] or now[2] == 'paused') then return false end
  generation, count = tonumber(now[1]) + 1, tonumber(now[3])
else
  if ARGV[3] ~= '' and ARGV[4] == '' then return false end
  redis.call('DEL', log, snapshot)
end
redis.call('HSET', state, 'generation', generation, 'status', 'open', 'count', count, 'reason', '')
redis.call('SET', lease, generation, 'PX', ARGV[1])
keep(ARGV[2])
return {'open', generation, count, 1, ''}
"""
)

APPEND: Final = (
    _OWNED
    + """
-- ARGV: generation, start, end, frames, most entries, ttl
local start, finish = tonumber(ARGV[2]), tonumber(ARGV[3])
if status == 'ended' then return 'ended' end
if status ~= 'open' then return 'fenced' end
if count == finish then return 'ok' end
if count ~= start then return 'behind' end
local id = ARGV[3] .. '-' .. string.format('%d', 2 * ARGV[1])
redis.call('XADD', log, 'MAXLEN', '~', ARGV[5], id, 'f', ARGV[4], 's', ARGV[2])
redis.call('HSET', state, 'count', ARGV[3])
if count == 0 then redis.call('PEXPIRE', log, ARGV[6]) end
return 'ok'
"""
)

SEAL: Final = (
    _OWNED
    + """
-- ARGV: generation, start, end, frame, ttl
if status == 'ended' then return 'ok' end
if status ~= 'open' then return 'fenced' end
if count ~= tonumber(ARGV[2]) then return 'behind' end
redis.call('HSET', state, 'status', 'ended', 'count', ARGV[3])
redis.call('XADD', log, ARGV[3] .. '-' .. string.format('%d', 2 * ARGV[1]), 'f', ARGV[4], 's', ARGV[2], 'z', '1')
redis.call('DEL', lease)
keep(ARGV[5])
return 'ok'
"""
)

RELEASE: Final = (
    _OWNED
    + """
-- ARGV: generation, status, reason, ttl
if status ~= 'open' then return 'fenced' end
redis.call('HSET', state, 'status', ARGV[2], 'reason', ARGV[3])
redis.call('DEL', lease)
if count > 0 then
  redis.call('XADD', log, now[3] .. '-' .. string.format('%d', 2 * ARGV[1] + 1), 'n', '1')
end
keep(ARGV[4])
return 'ok'
"""
)

BEAT: Final = (
    _OWNED
    + """
-- ARGV: generation, lease, ttl
if status == 'ended' then return 'ended' end
if status ~= 'open' then return 'fenced' end
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
keep(ARGV[3])
return 'ok'
"""
)

STORE: Final = (
    _OWNED
    + """
-- ARGV: generation, position, frames, ttl
redis.call('HSET', snapshot, 'position', ARGV[2], 'frames', ARGV[3])
redis.call('PEXPIRE', snapshot, ARGV[4])
return 'ok'
"""
)

STATE: Final = (
    _KEYS
    + """
local now = redis.call('HMGET', state, 'status', 'generation', 'count', 'reason')
if not now[1] then return false end
return {now[1], tonumber(now[2]), tonumber(now[3]), redis.call('EXISTS', lease), now[4]}
"""
)
