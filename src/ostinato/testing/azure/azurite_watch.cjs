// Loaded into Azurite: whoever started it holds its standard input, and may end in any way.
process.stdin.on("end", () => process.exit()).resume();
process.stdin.unref?.();
