"""The speech server: HTTP as OpenAI's, WebSocket, Wyoming and a page, over one `TextToSpeech` (extra `serve`)."""
