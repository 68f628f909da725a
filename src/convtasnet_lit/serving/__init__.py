"""The service: recordings in over HTTP, speakers out; streams over websockets; knows the network only as a process."""
