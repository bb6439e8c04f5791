"""The rules of English, by what they read: amounts, dates and times, addresses, letters, abbreviations, symbols."""
