import { Alert, Button, Group, Stack, Text, Textarea } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { parse } from "yaml";
import { ApiError } from "../api/index.ts";

interface YamlEditorProps<Document> {
  label: string;
  initial: string;
  saveLabel: string;
  onSave: (document: Document) => Promise<unknown>;
  /** Tries the document without keeping it; what it gives is shown below. */
  onTry?: ((document: Document) => Promise<ReactNode>) | undefined;
}

interface Fault {
  path: string;
  message: string;
}

/** A document as text, with what is wrong with it by its place. */
export function YamlEditor<Document>(props: YamlEditorProps<Document>) {
  const [text, setText] = useState(props.initial);
  const [faults, setFaults] = useState<Fault[]>([]);
  const [result, setResult] = useState<ReactNode>(null);
  const [busy, setBusy] = useState(false);

  const run = async (what: (document: Document) => Promise<ReactNode>) => {
    setBusy(true);
    setFaults([]);
    setResult(null);
    try {
      setResult(await what(parse(text, { maxAliasCount: 10 }) as Document));
    } catch (error) {
      setFaults(faultsOf(error as Error));
    } finally {
      setBusy(false);
    }
  };
  const save = async (document: Document) => {
    await props.onSave(document);
    return null;
  };
  const { onTry } = props;
  return (
    <Stack>
      <Textarea
        label={props.label}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        autosize
        minRows={10}
        maxRows={26}
        spellCheck={false}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
      />
      {faults.length > 0 && (
        <Alert color="ember" title="It cannot be taken like this">
          {faults.map(({ path, message }) => (
            <Text key={`${path} ${message}`} size="sm">
              {path && <b>{path} </b>}
              {message}
            </Text>
          ))}
        </Alert>
      )}
      {result}
      <Group justify="flex-end">
        {onTry && (
          <Button variant="default" loading={busy} onClick={() => void run(onTry)}>
            Try it
          </Button>
        )}
        <Button loading={busy} onClick={() => void run(save)}>
          {props.saveLabel}
        </Button>
      </Group>
    </Stack>
  );
}

function faultsOf(error: Error): Fault[] {
  const named = error instanceof ApiError ? [...error.errors] : [];
  return named.length > 0 ? named : [{ path: "", message: error.message }];
}
