"""Tables, intervals, pictures and audio of what was measured."""
