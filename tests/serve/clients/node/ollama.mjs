import { Ollama } from "ollama";

const client = new Ollama({ host: process.env.SLUICE_URL });
const options = { temperature: 0, num_predict: 16 };

told.models = (await client.list()).models.map((entry) => entry.model);
told.whole = (await client.chat({ model, messages, options })).message.content;
told.streamed = "";
for await (const part of await client.chat({ model, messages, options, stream: true })) told.streamed += part.message.content;
told.generated = (await client.generate({ model, prompt: "Once", options: { num_predict: 4, ignore_eos: true } })).eval_count;
told.json = (await client.chat({ model, messages, format: schema, options: { temperature: 0, num_predict: 60 } })).message.content;
told.overflow = await refused(client.chat({ model, messages: [{ role: "user", content: tooLong }], options }));
told.missing = await refused(client.chat({ model: "nothing", messages }));

const left = await client.chat({ model, messages, options: { num_predict: 3000, ignore_eos: true }, stream: true });
setTimeout(() => left.abort(), 50);
try {
  for await (const part of left) if (!part) break;
} catch (error) {
  if (error.name !== "AbortError") throw error;
}
console.log(JSON.stringify(told));
