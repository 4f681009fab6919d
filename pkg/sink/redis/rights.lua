#!lua
-- Each argument is a command with its arguments, zeros between them. Answers, for each,
-- whether the user may run it; nothing, if this server cannot be asked.
if not redis.acl_check_cmd then return {} end
local answers = {}
for i, line in ipairs(ARGV) do
  local command = {}
  for word in string.gmatch(line, '[^%z]+') do command[#command + 1] = word end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(command))
  answers[i] = not known and 'unknown' or allowed and 'allowed' or 'denied'
end
return answers
