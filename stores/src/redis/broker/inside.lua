-- A message as it came, out of what stands in the hash of messages that were taken.
--
-- `first` to `last`: which of ARGV are endings, by queue: what stands there behind a message of ours.
-- Gives its queue, counted from 1, and the message; nothing where it is none of ours.

local function inside(booked, first, last)
  if string.sub(booked, 1, 1) == '[' then
    for at = first, last do
      local ending = ARGV[at]
      if string.sub(booked, -#ending) == ending then
        return at - first + 1, string.sub(booked, 2, -#ending - 1)
      end
    end
  end
end

