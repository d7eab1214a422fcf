"""Searches the memory of processes. Standard input: a line of words, each some bytes in hexadecimal; then lines with a
process number each. Says for each process which of the words are in it, by their numbers, and how many bytes it read."""
import sys

words = [bytes.fromhex(word) for word in sys.stdin.readline().split()]
for pid in sys.stdin.read().split():
    found, read = set(), 0
    try:
        mappings = open(f"/proc/{pid}/smaps").read().splitlines()
        memory = open(f"/proc/{pid}/mem", "rb", 0)
    except OSError as error:
        print(pid, "not read:", error.strerror)
        continue
    begin = end = 0
    for line in mappings:
        fields = line.split()
        if "-" in fields[0] and not fields[0].endswith(":"):
            begin, end = (int(it, 16) for it in fields[0].split("-"))
            # Shared pages that are not here would have to come; nobody keeps a key in them.
            is_read = fields[1][0] == "r" and fields[1][3] == "p" and "[v" not in line
        elif fields[0] == "Rss:" and is_read and fields[1] != "0":
            tail = b""
            while begin < end:
                try:
                    memory.seek(begin)
                    piece = memory.read(min(1 << 20, end - begin))
                except OSError:
                    break
                if not piece:
                    break
                for number, word in enumerate(words):
                    if word in tail + piece:
                        found.add(number)
                tail, begin, read = piece[-64:], begin + len(piece), read + len(piece)
    print(pid, "has", *sorted(found), "in", read)
