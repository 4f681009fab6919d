#!lua
-- Each argument is a command with all of its arguments, zeros between them: the server
-- looks for keys in them without counting. Answers, for each, whether the user may run it
-- on these keys, and whether the server has it; nothing, if it cannot be asked.
if not redis.acl_check_cmd then return {} end
local answers = {}
for i, line in ipairs(ARGV) do
  local command = {}
  for word in string.gmatch(line, '[^%z]+') do command[#command + 1] = word end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(command))
  if known then
    answers[i] = allowed and 'allowed' or 'denied'
  else
    local text = type(allowed) == 'table' and allowed.err or allowed
    answers[i] = string.find(text, 'Invalid command', 1, true) and 'unknown' or 'unasked'
  end
end
return answers
