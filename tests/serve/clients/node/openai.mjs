import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.SLUICE_URL}/v1`, apiKey: "none", maxRetries: 0 });

told.models = (await client.models.list()).data.map((entry) => entry.id);
const common = { model, messages, temperature: 0, max_tokens: 16 };
told.whole = (await client.chat.completions.create(common)).choices[0].message.content;
const runner = client.chat.completions.stream(common);
told.streamed = (await runner.finalChatCompletion().catch(async () => ({ choices: [{ message: { content: await text(common) } }] }))).choices[0].message.content;

async function text(asked) {
  let all = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) all += chunk.choices[0]?.delta.content ?? "";
  return all;
}

told.response = (await client.responses.create({ model, input: messages[0].content, temperature: 0, max_output_tokens: 16 })).output_text;
told.logprobs = (await client.chat.completions.create({ ...common, max_tokens: 4, ignore_eos: true, logprobs: true, top_logprobs: 2 })).choices[0].logprobs.content;

const tools = [{ type: "function", function: { name: "get_weather", description: "The weather of a city", parameters: schema, strict: true } }];
const calling = await client.chat.completions
  .stream({ ...common, max_tokens: 200, tools, tool_choice: { type: "function", function: { name: "get_weather" } } })
  .finalMessage();
const call = calling.tool_calls?.[0].function;
if (call) told.tool = { name: call.name, arguments: JSON.parse(call.arguments) };

const format = { type: "json_schema", json_schema: { name: "weather", strict: true, schema } };
told.json = (await client.chat.completions.create({ ...common, max_tokens: 60, response_format: format })).choices[0].message.content;
told.overflow = await refused(client.chat.completions.create({ ...common, messages: [{ role: "user", content: tooLong }] }));
told.missing = await refused(client.chat.completions.create({ ...common, model: "nothing" }));
told.vector = (await client.embeddings.create({ model, input: "Hi" })).data[0].embedding; // which asks for base64
told.floats = (await client.embeddings.create({ model, input: "Hi", encoding_format: "float" })).data[0].embedding;

const left = await client.chat.completions.create({ ...common, max_tokens: 3000, ignore_eos: true, stream: true });
for await (const chunk of left) if (chunk.choices[0]?.delta.content) break; // which aborts the request
console.log(JSON.stringify(told));
