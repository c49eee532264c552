// Answers every request with the time.
require("node:http")
  .createServer((_, response) => response.end(`${new Date().toISOString()}\n`))
  .listen(Number(process.env.PORT ?? 8080));
