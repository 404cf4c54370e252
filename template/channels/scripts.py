"""What Redis runs, each in one step, so that a position and its stream always agree."""

# The position is a key of its own, because the stream may expire: whoever comes back then is told so by it.
# KEYS: the position and the stream.
BEGIN = """
local position = redis.call('GET', KEYS[1])
if not position then
    local time = redis.call('TIME')
    position = string.format('%.0f-0', time[1] * 1000000 + time[2])
end
local epoch, number = string.match(position, '(%d+)%-(%d+)')
"""
# ARGV: the message, how many to keep, for how long, and for how long to keep the position.
PUBLISH = (
    BEGIN
    + """
position = epoch .. '-' .. string.format('%.0f', number + 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[2], position, 'data', ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], position, 'EX', ARGV[4])
return position
"""
)
# ARGV: the position that the caller has read up to, and for how long to keep the position.
READ = (
    BEGIN
    + """
redis.call('SET', KEYS[1], position, 'EX', ARGV[2])
local from = string.match(ARGV[1], '^' .. epoch .. '%-') and '(' .. ARGV[1] or '-'
return {position, redis.call('XRANGE', KEYS[2], from, '+')}
"""
)
