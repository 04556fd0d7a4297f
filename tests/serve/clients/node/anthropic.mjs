import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.SLUICE_URL, apiKey: "none", maxRetries: 0 });
const text = (message) => message.content.map((block) => block.text ?? "").join("");

const common = { model, messages, temperature: 0, max_tokens: 16 };
const whole = await client.messages.create(common);
told.whole = text(whole);
told.prompt_tokens = whole.usage.input_tokens + whole.usage.cache_read_input_tokens + whole.usage.cache_creation_input_tokens;
told.streamed = text(await client.messages.stream(common).finalMessage());
told.counted = (await client.messages.countTokens({ model, messages })).input_tokens;

const tools = [{ name: "get_weather", description: "The weather of a city", input_schema: schema, strict: true }];
const calling = await client.messages.stream({ ...common, max_tokens: 200, tools, tool_choice: { type: "tool", name: "get_weather" } }).finalMessage();
const call = calling.content.find((block) => block.type === "tool_use");
if (call) told.tool = { name: call.name, arguments: call.input };

told.json = text(await client.messages.create({ ...common, max_tokens: 60, output_config: { format: { type: "json_schema", schema } } }));
told.overflow = await refused(client.messages.create({ ...common, messages: [{ role: "user", content: tooLong }] }));
told.missing = await refused(client.messages.create({ ...common, model: "nothing" }));

const left = client.messages.stream({ ...common, max_tokens: 3000 });
left.on("text", () => left.abort());
await left.done().catch(() => {});
console.log(JSON.stringify(told));
