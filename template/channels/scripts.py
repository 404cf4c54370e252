"""Scripts that Redis runs atomically, so that a position and its stream always agree."""

# The position has a key of its own, because the stream may expire, which reconnecting subscribers must learn.
# A caller that is ahead has seen messages that Redis lost: their ids must not be reused, so a new epoch begins.
# KEYS: the position and the stream. ARGV: the position that the caller has read up to, if any.
BEGIN = """
local function parse(position)
    local epoch, number = string.match(position or '', '(%d+)%-(%d+)')
    return tonumber(epoch or 0), tonumber(number or 0)
end
local epoch, number = parse(redis.call('GET', KEYS[1]))
local known, seen = parse(ARGV[1])
local begun = epoch == 0 or known > epoch or (known == epoch and seen > number)
if begun then
    local time = redis.call('TIME')
    epoch, number = math.max(time[1] * 1000000 + time[2], known + 1), 0
end
"""
# ARGV, in addition: the message, how many to keep, for how long, and for how long to keep the position.
PUBLISH = (
    BEGIN
    + """
local position = string.format('%.0f-%.0f', epoch, number + 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[3], position, 'data', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[4])
redis.call('SET', KEYS[1], position, 'EX', ARGV[5])
return position
"""
)
# ARGV, in addition: for how long to keep the position of a channel without messages, because subscribers may make up names;
# and how many entries to read at a time, up to 500 KB in all: a long history comes in pieces. Returns the position at the end
# of this piece, the channel's position, and the piece.
# If Redis rejects writes but is not a replica, reading still works: an epoch that it cannot store is used until it can. The
# last entry that the caller has read is returned again, to be compared.
READ = (
    BEGIN
    + """
local position = string.format('%.0f-%.0f', epoch, number)
local kept
if begun then
    kept = redis.pcall('SET', KEYS[1], position, 'EX', ARGV[2])
    if kept.err and known > 0 and seen == 0 then position = ARGV[1] end
else
    kept = redis.pcall('EXPIRE', KEYS[1], ARGV[2], 'GT')
end
if type(kept) == 'table' and kept.err and string.find(kept.err, 'READONLY', 1, true) then return kept end
local from = known == epoch and ARGV[1] or string.format('%.0f-0', epoch)
local piece, size, found = {}, 0, nil
repeat
    found = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[3])
    for _, entry in ipairs(found) do
        piece[#piece + 1], size, from = entry, size + #entry[2][2], '(' .. entry[1]
    end
until #found < tonumber(ARGV[3]) or size > 500000
return {#found < tonumber(ARGV[3]) and position or piece[#piece][1], position, piece}
"""
)


def keys(name: str) -> list[str]:
    """The keys of a channel: its position and its stream."""
    return [f"channels:{name}:position", f"channels:{name}:stream"]


def name_of(stream: str) -> str:
    """The channel that a stream's key belongs to."""
    return stream.removeprefix("channels:").removesuffix(":stream")
