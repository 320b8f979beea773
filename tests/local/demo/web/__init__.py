"""What does one show a colleague? The demo as a page in a browser, with buttons that do real harm, and heal it.

show         starts everything, and says where the page is
stage        what runs, and what each button does
healing      what the operator does, by the doctor's advice
readers      two applications: one reads the secret before each login, one caches it
board        what the page shows, kept until it asks
server       gives the page, the state, and takes what is pressed, at 127.0.0.1 only
page.*       the page; it loads nothing from elsewhere
picture      draws the page for the documents, in the browser of the tests
png          makes that picture small

The passwords stay in the Secrets Manager and in the functions and applications that use them: the board never has one.
"""
